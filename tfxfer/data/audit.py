"""The audit of all items of a source: faults, oddities and copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from tfxfer.data.items import FileSet, ItemSet
from tfxfer.data.leaks import find_conflicts, find_leaks
from tfxfer.data.listing import Listing
from tfxfer.data.seen import place_of, read_looks, write_looks
from tfxfer.machine.files import for_each, read_bytes, stamp
from tfxfer.machine.processes import ALONE, Share
from tfxfer.records.audits import Audit, Look


def audit_listing(
    listing: Listing,
    mirrored: bool = True,
    cache: Path | None = None,
    show: Callable[[int, int], None] = lambda done, total: None,
    share: Share = ALONE,
) -> Audit:
    """Look at every item of a source.

    Args:
        listing: The items.
        mirrored: Whether mirror images are copies. They are not if left and right matter.
        cache: The cache in which the looks are kept; None keeps nothing.
        show: A function that is called now and then with the numbers of finished and of all
            items.
        share: The part of the run that this process does: it looks at its part of the items, and
            gets the looks of the other processes.

    Returns:
        The findings: the items in the order of the splits, then files or examples without one.
    """
    looks = _look(listing, place_of(cache, listing.source) if cache else None, show, share)
    labels = [row for split in listing.splits.values() for row in split.labels.list_numbers()]
    splits = [name for name, split in listing.splits.items() for _ in range(len(split.labels))]
    copies = listing.modality.find_copies(looks, mirrored)
    bad = [(name, file) for name, files in listing.bad.items() for file in files]
    return Audit(
        source=listing.source,
        classes=listing.classes,
        looks=(*looks, *(Look(file.path, 0, None, fault=file.reason) for _, file in bad)),
        splits=(*splits, *(name for name, _ in bad)),
        labels=(*labels, *(() for _ in bad)),
        copies=copies,
        conflicts=find_conflicts(copies, labels),
        leaks=tuple(find_leaks(copies, splits)),
        unit=listing.unit,
        meanings=listing.modality.oddities,
    )


def read_items(listing: Listing, rows: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield some rows of an audit with their encoded items; unreadable ones are left out.

    Args:
        listing: The items.
        rows: The rows, in ascending order.
    """
    first = 0
    for split in listing.splits.values():
        end = first + len(split.labels)
        own = [row for row in rows if first <= row < end]
        if isinstance(split, FileSet):
            yield from _read_files(split, own, first)
        elif own:
            chosen = split.choose(np.array(own) - first).encoded()
            yield from zip(own, (bytes(x) for x, _ in chosen.as_numpy_iterator()), strict=True)
        first = end


def _read_files(files: FileSet, rows: Sequence[int], first: int) -> Iterator[tuple[int, bytes]]:
    for row in rows:
        try:
            yield row, read_bytes(files.paths[row - first])
        except OSError:
            continue


def _look(
    listing: Listing, file: Path | None, show: Callable[[int, int], None], share: Share
) -> list[Look]:
    """Look at all items that are new or have changed since the last look."""
    known = read_looks(file) if file else {}
    sets = [share.part_of(split) for split in listing.splits.values()]
    where = [split.where() for split in sets]
    stamps = [_stamp(split) for split in sets]
    missing = [
        [row for row, place in enumerate(places) if known.get(place, ("",))[0] != stamped[row]]
        for places, stamped in zip(where, stamps, strict=True)
    ]
    done, total = 0, sum(map(len, missing))
    seen: list[tuple[str, Look]] = []
    for split, places, stamped, rows in zip(sets, where, stamps, missing, strict=True):
        fresh: dict[int, Look] = {}
        if rows:
            chosen = split if len(rows) == len(places) else split.choose(np.array(rows))
            found = listing.modality.look(chosen, partial(_show_more, show, done, total))
            fresh = dict(zip(rows, found, strict=True))
        looks = [fresh.get(row) or known[place][1] for row, place in enumerate(places)]
        seen += share.gather_items(list(zip(stamped, looks, strict=True)))
        done += len(rows)
    if file and share.total(total):
        # In a file of many items, the looks at those of other splits are kept as well.
        same = {stamp for stamp, _ in seen}
        kept = {place: pair for place, pair in known.items() if pair[0] in same}
        write_looks(file, kept | {pair[1].path: pair for pair in seen})
    return [look for _, look in seen]


def _show_more(show: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    show(before + done, total)


def _stamp(items: ItemSet) -> list[str]:
    """Return a stamp of each item that changes when it is edited; ``"gone"`` without a file."""
    if isinstance(items, FileSet):
        return for_each(_stamp_file, items.paths)
    return [identity.stamp for identity in items.identities()]


def _stamp_file(path: str) -> str:
    try:
        return stamp(path)
    except OSError:
        return "gone"
