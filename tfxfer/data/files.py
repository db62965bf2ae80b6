"""Pictures in files, whatever lists them: looked at once before training, then parted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfxfer.config import DataConfig
from tfxfer.data.audit import audit_files
from tfxfer.data.copies import find_leaks
from tfxfer.data.decode import READABLE
from tfxfer.data.labels import count_classes
from tfxfer.data.looks import Audit, Copies
from tfxfer.data.pictures import FileSet, PictureData, PictureSet
from tfxfer.data.splits import complete_splits
from tfxfer.errors import InputError
from tfxfer.records import BadFile

_SHOWN = 20


@dataclass(frozen=True)
class Listing:
    """The files of a source, before anybody has looked at them.

    Attributes:
        source: where the files come from, for people.
        classes: class names.
        splits: ``train``, and ``validation`` and ``test`` where the source has them.
        notes: what the user should know of the listing.
    """

    source: str
    classes: tuple[str, ...]
    splits: Mapping[str, FileSet]
    notes: tuple[str, ...] = ()


def make_file_data(
    listing: Listing,
    config: DataConfig,
    seed: int,
    cache: Path | None = None,
    show: Callable[[int, int], None] = lambda done, total: None,
) -> PictureData:
    """Look at every file of a listing, leave out or refuse bad ones, complete the splits.

    Args:
        cache, show: as of `audit_files`.

    Raises:
        InputError: files cannot be decoded and ``config.on_bad`` is ``"fail"``, a split has no
            readable picture, or a class too few.
    """
    source, classes = listing.source, listing.classes
    audit = audit_files(source, classes, listing.splits, cache, show)
    bad = tuple(BadFile(look.path, str(look.fault)) for look in audit.faults)
    if config.on_bad == "fail":
        fail_on_bad_files(bad, len(audit.looks))
    bad_paths = {file.path for file in bad}
    good = {name: _without(split, bad_paths) for name, split in listing.splits.items()}
    absent = [
        note for name, split in good.items() for note in _look_at(name, split, classes, source)
    ]
    completed, cut_notes = complete_splits(good, classes, config, seed)
    parted, leak_notes = _part_copies(completed, audit, config.fix_leaks)
    return PictureData(
        source=source,
        classes=classes,
        train=parted["train"],
        validation=parted["validation"],
        test=parted["test"],
        notes=(*listing.notes, *absent, *cut_notes, *_describe(audit), *leak_notes),
        quarantined=bad,
    )


def fail_on_bad_files(bad: Sequence[BadFile], total: int) -> None:
    """Raise an `InputError` that names the bad files, if there are any."""
    if not bad:
        return
    raise InputError(
        "\n".join(
            [
                f"Pictures must be readable {', '.join(READABLE)} files. "
                f"Received: {len(bad)} of {total:,} that are not:",
                *list_bad(bad),
                "Repair or remove them, or leave them out of this run with "
                "--set data.on_bad=quarantine (the run folder then lists them).",
            ]
        )
    )


def list_bad(bad: Sequence[BadFile]) -> list[str]:
    """A line for each of the first bad files or records, and how many more there are."""
    lines = [f"  {file.path}: {file.reason}" for file in bad[:_SHOWN]]
    return lines if len(bad) <= _SHOWN else [*lines, f"  … and {len(bad) - _SHOWN} more"]


def _without(split: FileSet, left_out: set[str]) -> FileSet:
    kept = [row for row, path in enumerate(split.paths) if path not in left_out]
    return split.choose(np.array(kept, np.int64))


def _look_at(name: str, split: FileSet, classes: tuple[str, ...], source: str) -> list[str]:
    """Refuse a split without readable pictures; note the classes that it has none of."""
    if not split.paths:
        raise InputError(
            "data must hold class folders with pictures in them, or train/, val/ and test/ above "
            f"them, or name such pictures in a manifest. Received: {source!r}, with no readable "
            f"picture in a class folder of its {name} split. Put each class's pictures into a "
            "folder of the class's name."
        )
    counts = count_classes(split.labels, len(classes))
    absent = [label for label, count in zip(classes, counts, strict=True) if not count]
    if not absent or name == "train":
        return []
    return [f"the {name} split has no pictures of {', '.join(absent)}"]


def _part_copies(
    splits: Mapping[str, PictureSet], audit: Audit, fixes: bool
) -> tuple[dict[str, PictureSet], list[str]]:
    """Find training pictures with a copy in validation or test, and validation ones in test.

    Where they are to be left out, the test split stays as it is.
    """
    split_of = {path: name for name, split in splits.items() for path in _paths(split)}
    paths = [look.path for look in audit.looks]
    groups = [
        Copies(tuple(row for row in group.rows if paths[row] in split_of), group.is_exact)
        for group in audit.copies
    ]
    leaks = find_leaks(
        [group for group in groups if group.rows], [split_of.get(path, "train") for path in paths]
    )
    leaking = {paths[row] for row in leaks}
    if not leaking:
        return dict(splits), []
    first = min(leaking)
    if not fixes:
        return dict(splits), [
            f"{len(leaking):,} pictures have a copy in a later split, such as {first}: figures "
            "flatter. `tfxfer audit` shows them; --set data.fix_leaks=true leaves them out"
        ]
    kept = {
        name: split.choose(
            np.array([row for row, path in enumerate(_paths(split)) if path not in leaking], int)
        )
        for name, split in splits.items()
    }
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


def _paths(split: PictureSet) -> tuple[str, ...]:
    return split.paths if isinstance(split, FileSet) else ()


def _describe(audit: Audit) -> list[str]:
    """What the user should know of usable files, in a line each."""
    notes = []
    told = {key: rows for key, rows in audit.oddities.items() if key not in ("grey", "palette")}
    if told:
        kinds = ", ".join(f"{len(rows):,} {key}" for key, rows in told.items())
        notes.append(f"unusual pictures, which are used all the same: {kinds} (`tfxfer audit`)")
    if audit.conflicts:
        paths = [audit.looks[row].path for row in audit.conflicts[0].rows[:2]]
        notes.append(
            f"{len(audit.conflicts):,} groups of copies have different labels, such as "
            f"{' and '.join(paths)}"
        )
    return notes
