"""One fold of a cross-validation, which is taken from the training items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfxfer.config.data import DataConfig
from tfxfer.data.groups import check_group_count, describe_parts
from tfxfer.data.items import ItemSet, names_to_hash
from tfxfer.data.parts import deal_folds, deal_groups, hash_names
from tfxfer.errors import InputError

Splits = dict[str, ItemSet]
_NEEDED = 2  # Each class needs so many training items, whichever fold is held out.


def take_fold(
    splits: Splits, classes: Sequence[str], config: DataConfig, seed: int
) -> tuple[Splits, list[str]]:
    """Take one fold from the training items; every item is in exactly one fold.

    Returns:
        The splits, with the fold as ``test``, or as ``validation`` if the source has a test split;
        and notes.

    Raises:
        InputError: There are too few items or groups for the folds. This does not depend on the
            fold that is taken.
    """
    name = "validation" if "test" in splits else "test"
    train, folds, fold = splits["train"], config.split.folds or 0, config.split.fold or 1
    places = _deal(train, folds, config, seed)
    counts = np.array(
        [
            train.labels.choose(np.flatnonzero(places == place)).count(len(classes))
            for place in range(folds)
        ]
    )
    left = counts.sum(axis=0) - counts.max(axis=0)
    if (left < _NEEDED).any():
        small = [label for label, count in zip(classes, left, strict=True) if count < _NEEDED]
        raise InputError(
            f"Every class needs at least {_NEEDED} training pictures beside each fold. Received: "
            f"folds={folds}, and fewer of {', '.join(small[:20])}. Add pictures to these classes, "
            "take more folds, or remove the classes."
        )
    held_out = np.flatnonzero(places == fold - 1)
    how = describe_parts(train.groups, config, seed)
    notes = [
        f"fold {fold} of {folds}: {len(held_out):,} of the {len(places):,} training pictures are "
        f"the {name} split, {how}"
    ]
    fewest = counts.min(axis=0)
    absent = [label for label, count in zip(classes, fewest, strict=True) if not count]
    if absent:
        notes.append(f"some folds have no pictures of {', '.join(absent[:20])}")
    if name in splits:
        notes.append(
            f"the source's own validation split ({len(splits[name].labels):,} pictures) is not "
            "used: the fold takes its place"
        )
    rest = np.flatnonzero(places != fold - 1)
    return splits | {"train": train.choose(rest), name: train.choose(held_out)}, notes


def _deal(train: ItemSet, folds: int, config: DataConfig, seed: int) -> np.ndarray:
    """Return the number of each item's fold, ``[items]`` in 0…folds-1."""
    strata, groups = train.labels.strata(), train.groups
    if config.split.by == "hash":
        places = (hash_names(names_to_hash(train), f"{seed}/folds") * folds).astype(np.int64)
    elif groups:
        check_group_count(groups, folds, f"{folds} folds")
        places = deal_groups(strata, groups, [1 / folds] * folds, seed)
    else:
        largest = int(np.bincount(strata).max(initial=0))
        if largest < folds:
            raise InputError(
                "folds must be at most the number of pictures of the largest class. Received: "
                f"folds={folds}, with {largest} pictures of it. Take fewer folds or add pictures."
            )
        places = deal_folds(strata, folds, seed)
    empty = np.setdiff1d(np.arange(folds), places) + 1
    if len(empty):
        raise InputError(
            f"Every fold needs pictures. Received: folds={folds}, split.by={config.split.by!r}, "
            f"and none in fold {empty[0]}. Take fewer folds, another seed, or by='random'."
        )
    return places
