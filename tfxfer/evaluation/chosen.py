"""The choice of the items to evaluate: of a split, usable, and of the model's classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfxfer.data.audit import audit_listing
from tfxfer.data.items import ItemSet
from tfxfer.data.listing import Listing
from tfxfer.errors import InputError, nearest
from tfxfer.records.plans import BadFile
from tfxfer.task import Labels

SPLITS = ("train", "validation", "test")
ALL = "all"


def choose_split(listing: Listing, split: str | None) -> tuple[str, Listing, tuple[str, ...]]:
    """Keep the items of a split.

    Args:
        listing: The items of a source.
        split: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``; None takes the test split if
            the source has one, else all items.

    Returns:
        The split's name, a listing of only its items, and notes.

    Raises:
        InputError: There is no such split.
    """
    present = [name for name in SPLITS if name in listing.splits]
    notes: tuple[str, ...] = ()
    if split is None and "test" in present:
        split = "test"
        notes = ("the test split is evaluated, since the data have one; --split all takes all",)
    elif split is None:
        split = ALL
        notes = ("all pictures are evaluated: the data have no test split",)
    if split != ALL and split not in present:
        raise InputError(
            f"--split must be all or a split that the data have ({', '.join(present)}). Received: "
            f"{split!r}.{nearest(split, (ALL, *present))} Leave it out for the test split, or for "
            "all pictures where there is none."
        )
    names = present if split == ALL else [split]
    if names == present:
        return split, listing, notes
    part = replace(
        listing,
        # The findings of the last look at a source are stored under its name. Another name keeps
        # those of training, which cover all items, from being replaced by those of one split.
        source=f"{listing.source} ({split})",
        splits={name: listing.splits[name] for name in names},
        bad={name: files for name, files in listing.bad.items() if name in names},
    )
    return split, part, notes


def find_bad(
    listing: Listing, cache: Path | None, show: Callable[[int, int], None]
) -> tuple[BadFile, ...]:
    """Look at items, and return those that cannot be used.

    Args:
        listing: The items.
        cache, show: The same as in `audit_listing`.
    """
    # Copies do not matter here, and neither do mirror images.
    audit = audit_listing(listing, False, cache, show)
    return tuple(BadFile(look.path, str(look.fault)) for look in audit.faults)


def keep(
    listing: Listing, numbers: np.ndarray, class_count: int, bad: Sequence[BadFile]
) -> list[tuple[ItemSet, Labels]]:
    """Keep the items that are usable and of the model's classes.

    Args:
        listing: The items.
        numbers, class_count: The same as in `Labels.rename`.
        bad: The items that cannot be used.

    Returns:
        The items of each split, with their labels among the model's classes.

    Raises:
        InputError: No item is left.
    """
    left_out = {file.path for file in bad}
    kept = []
    for items in listing.splits.values():
        labels, stays = items.labels.rename(numbers, class_count)
        stays &= np.array([place not in left_out for place in items.where()], bool)
        # A whole split is read from start to end, which is faster than a choice from it.
        chosen = items if stays.all() else items.choose(np.flatnonzero(stays))
        kept.append((chosen, labels.choose(np.flatnonzero(stays))))
    if not any(len(labels) for _, labels in kept):
        raise InputError(
            "There must be pictures to evaluate. Received: "
            f"{listing.source!r}, of whose pictures {len(bad):,} cannot be used and none is left. "
            "`tfxfer audit` says what is wrong with them; --classes may leave out too much."
        )
    return kept
