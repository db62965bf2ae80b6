"""The items of a run, made from a listing: without bad ones, with all splits, and with notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfxfer.config.data import DataConfig
from tfxfer.data.items import ItemData, ItemSet
from tfxfer.data.leaks import find_leaks
from tfxfer.data.listing import EXAMPLES, FILES, TFRECORDS, Listing
from tfxfer.data.splits import complete_splits
from tfxfer.errors import InputError
from tfxfer.records.audits import Audit, Copies
from tfxfer.records.plans import BadFile

_SHOWN = 20
# For each unit: the demand on it, the name of units that fail, and the advice.
_DEMANDS = {
    FILES: (
        "{items} must be readable {formats} files.",
        "that are not",
        "Repair or remove them",
    ),
    TFRECORDS: (
        "Every record must hold a readable {formats} {item} and its label.",
        "records that do not (counted from 0)",
        "Write the files again without them",
    ),
    EXAMPLES: (
        "Every example must hold a readable {formats} {item}.",
        "examples that do not (split or file, and place from 0)",
        "Prepare the data set again without them",
    ),
}


def make_data(listing: Listing, audit: Audit | None, config: DataConfig, seed: int) -> ItemData:
    """Leave out or refuse bad items, complete the splits, and note other findings.

    Args:
        audit: The findings of the audit; None if the items are known to be good and distinct.

    Raises:
        InputError: Items cannot be decoded and ``on_bad`` is ``"fail"``, a split has no readable
            item, or a class too few.
    """
    bad = tuple(BadFile(look.path, str(look.fault)) for look in audit.faults) if audit else ()
    if config.reading.on_bad == "fail" and audit:
        _fail_on_bad(bad, len(audit.looks), listing)
    bad_places = {file.path for file in bad}
    good = {name: _without(split, bad_places) for name, split in listing.splits.items()}
    absent = [note for name, split in good.items() for note in _look_at(name, split, listing)]
    parted, made_notes = complete_splits(good, listing.classes, config, seed)
    found: list[str] = []
    if audit:
        parted, leak_notes = _part_copies(parted, audit, config.split.fix_leaks)
        found = [*_describe(audit), *leak_notes]
    return ItemData(
        source=listing.source,
        classes=listing.classes,
        task=listing.task,
        train=parted["train"],
        validation=parted["validation"],
        test=parted["test"],
        modality=config.row,
        notes=(*listing.notes, *_note_alike(listing.classes), *absent, *made_notes, *found),
        quarantined=bad,
    )


def _note_alike(classes: Sequence[str]) -> list[str]:
    """Note classes whose names differ in nothing but case and blanks."""
    by_plain: dict[str, list[str]] = {}
    for name in classes:
        by_plain.setdefault("".join(name.casefold().split()), []).append(name)
    return [
        f"the classes {' and '.join(map(repr, names))} differ in case or blanks alone: if they are "
        "one class, give them one name"
        for names in by_plain.values()
        if len(names) > 1
    ]


def find_refusal(listing: Listing, audit: Audit, config: DataConfig) -> str:
    """Return why training would refuse the items that can be used; empty if it would not."""
    reading = config.reading.model_copy(update={"on_bad": "quarantine"})
    try:
        make_data(listing, audit, config.model_copy(update={"reading": reading}), seed=0)
    except InputError as error:
        return str(error)
    return ""


def _fail_on_bad(bad: Sequence[BadFile], total: int, listing: Listing) -> None:
    """Raise an `InputError` that names the bad items, if there are any."""
    if not bad:
        return
    row = listing.modality
    demand, those, remedy = _DEMANDS[listing.unit]
    demand = demand.format(
        items=row.name.capitalize(), item=row.item, formats=", ".join(row.formats)
    )
    lines = [f"  {file.path}: {file.reason}" for file in bad[:_SHOWN]]
    if len(bad) > _SHOWN:
        lines.append(f"  … and {len(bad) - _SHOWN} more")
    raise InputError(
        "\n".join(
            [
                f"{demand} Received: {len(bad)} of {total:,} {those}:",
                *lines,
                f"{remedy}, or leave them out of this run with "
                "--set data.reading.on_bad=quarantine (the run folder then lists them).",
            ]
        )
    )


def _without(split: ItemSet, left_out: set[str]) -> ItemSet:
    where = split.where() if left_out else ()
    kept = [row for row, place in enumerate(where) if place not in left_out]
    return split if len(kept) == len(where) else split.choose(np.array(kept, np.int64))


def _look_at(name: str, split: ItemSet, listing: Listing) -> list[str]:
    """Refuse a split without readable items, and note the classes that it lacks."""
    if not len(split.labels) and listing.unit == FILES:
        way_out = (
            f" Or remove the {name} folder: a part of the training pictures is then held back for "
            "it."
            if name != "train"
            else ""
        )
        raise InputError(
            "data must hold class folders with pictures in them, or train/, val/ and test/ above "
            f"them, or name such pictures in a manifest. Received: {listing.source!r}, with no "
            f"readable picture in a class folder of its {name} split. Put each class's pictures "
            f"into a folder of the class's name.{way_out}"
        )
    if not len(split.labels):
        raise InputError(
            f"Every split needs readable pictures. Received: none in the {listing.unit} of the "
            f"{name} split. Check data.split.{name}."
        )
    counts = split.labels.count(len(listing.classes))
    absent = [label for label, count in zip(listing.classes, counts, strict=True) if not count]
    if not absent or name == "train":
        return []
    return [f"the {name} split has no pictures of {', '.join(absent)}"]


def _part_copies(
    splits: Mapping[str, ItemSet], audit: Audit, fixes: bool
) -> tuple[dict[str, ItemSet], list[str]]:
    """Find training items with a copy in validation or test, and validation ones in test.

    If they are left out, the test split is not changed.
    """
    split_of = {place: name for name, split in splits.items() for place in split.where()}
    places = [look.path for look in audit.looks]
    groups = [
        Copies(tuple(row for row in group.rows if places[row] in split_of), group.is_exact)
        for group in audit.copies
    ]
    leaks = find_leaks(
        [group for group in groups if group.rows],
        [split_of.get(place, "train") for place in places],
    )
    leaking = {places[row] for row in leaks}
    if not leaking:
        return dict(splits), []
    first = min(leaking)
    if not fixes:
        return dict(splits), [
            f"{len(leaking):,} pictures have a copy in a later split, such as {first}: figures "
            "flatter. `tfxfer audit` shows them; --set data.split.fix_leaks=true leaves them out"
        ]
    kept = {name: _without(split, leaking) for name, split in splits.items()}
    emptied = [name for name, split in kept.items() if not len(split.labels)]
    if emptied:
        raise InputError(
            "A split must keep pictures when copies of later splits' are left out. Received: "
            f"fix_leaks=true, and {emptied[0]} with {len(splits[emptied[0]].labels):,} pictures, "
            "all of them copies. Take other pictures, or fix_leaks=false."
        )
    return kept, [
        f"{len(leaking):,} pictures were left out of training and validation: copies of pictures "
        "in a later split"
    ]


def _describe(audit: Audit) -> list[str]:
    """Return a note for each kind of oddity and conflict among usable items."""
    notes = []
    told = {key: rows for key, rows in audit.oddities.items() if key not in ("grey", "palette")}
    if told:
        kinds = ", ".join(f"{len(rows):,} {key}" for key, rows in told.items())
        notes.append(f"unusual pictures, which are used all the same: {kinds} (`tfxfer audit`)")
    if audit.conflicts:
        places = [audit.looks[row].path for row in audit.conflicts[0].rows[:2]]
        notes.append(
            f"{len(audit.conflicts):,} groups of copies have different labels, such as "
            f"{' and '.join(places)}"
        )
    return notes
