"""The splits that a source lacks, folds and few shots, all taken from its training items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfxfer.config.data import DataConfig
from tfxfer.data.folds import Splits, take_fold
from tfxfer.data.groups import (
    check_group_count,
    check_groups,
    describe_parts,
    part_groups,
)
from tfxfer.data.items import ItemSet, names_to_hash
from tfxfer.data.parts import deal_groups, draw_stratified, hash_names, pick_shots
from tfxfer.errors import InputError
from tfxfer.task import Labels


def complete_splits(
    splits: Mapping[str, ItemSet], classes: Sequence[str], config: DataConfig, seed: int
) -> tuple[Splits, tuple[str, ...]]:
    """Take ``validation`` and ``test`` from ``train`` if they are missing.

    This is stratified: every class gives its share, which is at least one item, and keeps at
    least one. Groups stay whole, and are divided as evenly as they allow. With ``by="hash"``, only
    each item's name, or its group's, decides. The same items and seed give the same splits.

    With ``folds``, the fold that ``fold`` names (None means the first) is the test split, or the
    validation split if the source has a test split. With ``shots``, so many training items of
    each class are kept.

    Returns:
        The three splits, and a note for each thing that was done.

    Raises:
        InputError: A class, or the groups, have too few items for the splits.
    """
    check_groups(splits, config)
    parted, notes = part_groups(splits, config.split.fix_leaks)
    total = len(parted["train"].labels)
    if config.split.folds:
        parted, fold_notes = take_fold(parted, classes, config, seed)
        notes += fold_notes
    missing = [name for name in ("test", "validation") if name not in parted]
    train = parted["train"]
    check_class_sizes(train.labels, classes, max(2, 1 + len(missing)), missing)
    made = make_missing(train, missing, config, seed, total)
    how = describe_parts(train.groups, config, seed)
    for name in missing:
        parted[name] = train.choose(made[name])
        notes.append(
            f"no {name} split: {len(made[name]):,} of the {len(train.labels):,} training pictures "
            f"were taken for it, {how}"
        )
    parted["train"] = train.choose(made["train"])
    notes += _check_parts(parted, missing, classes, how)
    if config.split.shots:
        parted["train"], note = take_shots(parted["train"], classes, config.split.shots, seed)
        notes.append(note)
    return parted, tuple(notes)


def make_missing(
    train: ItemSet, missing: Sequence[str], config: DataConfig, seed: int, total: int
) -> dict[str, np.ndarray]:
    """Return the positions of the items of each missing split, and of those left in ``train``.

    Args:
        train: The training items.
        missing: The names of the missing splits.
        config: The settings of the data.
        seed: The seed that decides the splits.
        total: The number of the source's training items, of which the fractions are shares.
    """
    fractions = {"test": config.split.test_fraction, "validation": config.split.validation_fraction}
    groups = train.groups
    if config.split.by == "hash":
        # The number of items must not matter, because it changes when some are added.
        scale = 1 / (1 - 1 / config.split.folds) if config.split.folds else 1.0
        ends = np.cumsum([fractions[name] * scale for name in missing])
        places = np.searchsorted(ends, hash_names(names_to_hash(train), str(seed)), side="right")
    elif groups and missing:
        check_group_count(groups, 1 + len(missing), f"train, {' and '.join(missing)}")
        shares = [fractions[name] * total / len(groups) for name in missing]
        shares.append(1 - sum(shares))
        places = deal_groups(train.labels.strata(), groups, shares, seed)
    else:
        return _make_in_turn(train.labels, {name: fractions[name] for name in missing}, seed, total)
    parts = {name: np.flatnonzero(places == place) for place, name in enumerate(missing)}
    return parts | {"train": np.flatnonzero(places == len(missing))}


def _make_in_turn(
    labels: Labels, fractions: Mapping[str, float], seed: int, total: int
) -> dict[str, np.ndarray]:
    parts, left = {}, np.arange(len(labels))
    for position, (name, fraction) in enumerate(fractions.items()):
        # All fractions are shares of all training items, so later splits take more of the rest.
        share = fraction * total / len(left)
        kept, taken = draw_stratified(labels.choose(left).strata(), share, seed + position)
        parts[name], left = left[taken], left[kept]
    return parts | {"train": left}


def take_shots(
    train: ItemSet, classes: Sequence[str], shots: int, seed: int
) -> tuple[ItemSet, str]:
    """Keep some training items of each class, which include those of fewer shots.

    Raises:
        InputError: Items may have several labels.
    """
    numbers = train.labels.demand_single("shots", shots)
    picked, small = pick_shots(numbers, train.groups, shots, seed)
    counts = train.labels.count(len(classes))
    fewer = ", ".join(f"{classes[number]} ({counts[number]})" for number in small.tolist())
    note = (
        f"few-shot: {len(picked):,} of the {len(train.labels):,} training pictures, {shots} of "
        f"each class (seed {seed})"
    )
    return train.choose(picked), note + (f"; all that there are of {fewer}" if fewer else "")


def check_class_sizes(
    labels: Labels, classes: Sequence[str], minimum: int, missing: Sequence[str] = ()
) -> None:
    """Refuse fewer than two classes, and classes with too few training items."""
    if len(classes) < 2:
        raise InputError(
            "A classifier needs pictures of at least two classes, a folder each. "
            f"Received: {len(classes)} class ({', '.join(classes)}). Add another class folder."
        )
    counts = labels.count(len(classes))
    small = [
        f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < minimum
    ]
    if small:
        since = f", since {' and '.join(missing)} are taken from them" if missing else ""
        raise InputError(
            f"Every class needs at least {minimum} training pictures{since}. Received: "
            f"{', '.join(small[:20])}. Add pictures to these classes or remove their folders."
        )


def _check_parts(
    splits: Splits, missing: Sequence[str], classes: Sequence[str], how: str
) -> list[str]:
    """Refuse splits that are empty or leave a class untrained, and note which classes they lack."""
    notes = []
    for name in ("train", *missing):
        counts = splits[name].labels.count(len(classes))
        absent = [label for label, count in zip(classes, counts, strict=True) if not count]
        if not len(splits[name].labels) or (absent and name == "train"):
            raise InputError(
                "Every split needs pictures, and the training split some of each class. Received: "
                f"a {name} split without {', '.join(absent[:20])}, taken {how}. Add pictures, take "
                "another seed or other fractions, or leave data.split.by and groups out."
            )
        if absent:
            notes.append(f"the {name} split has no pictures of {', '.join(absent)}")
    return notes
