"""Pictures that a table lists, with a path and labels in each line, perhaps a split and a group.

`manifest_rows.py` reads each kind of table.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfxfer.config.data import DataConfig
from tfxfer.config.places import is_address, to_place
from tfxfer.data.items import FileSet
from tfxfer.data.listing import Listing
from tfxfer.errors import InputError, find_full_disk, nearest
from tfxfer.sources.folders.find import Finder
from tfxfer.sources.folders.names import SPLIT_NAMES, find_split
from tfxfer.sources.groups_in_paths import find_groups
from tfxfer.sources.manifest_rows import Row, read_rows
from tfxfer.sources.unpack.parquet import Unpacked, unpack_pictures
from tfxfer.sources.unpack.shards import Shard, list_shards
from tfxfer.task import Labels, Tasks

_SHOWN = 20
_FEWEST_QUANTITIES = 10  # So many different numbers may be quantities.
_DRIVE = re.compile(r"\s*[A-Za-z]:[\\/]")


@dataclass(frozen=True)
class _Entry:
    """A picture of a manifest whose line has no faults.

    Attributes:
        place: The line or row that lists it, in words.
        name: Its path as the manifest gives it, with forward slashes.
        path: Where the file lies.
        labels: Its labels: one, or any number if pictures may have several.
        split: The name of its split.
        group: The name of its group; empty if the manifest has no groups.
    """

    place: str
    name: str
    path: str
    labels: tuple[str, ...]
    split: str
    group: str


def list_manifest(config: DataConfig, cache: Path, tasks: Tasks) -> Listing:
    """Read a table of pictures.

    A relative path lies below the first of ``roots`` that has the file or, if there are no
    roots, beside the manifest. Classes are sorted. Pictures have several labels if
    ``label_separator`` is set or a label is a list.

    Raises:
        InputError: The manifest cannot be read, lacks a column, or has lines that are wrong.
    """
    source = str(config.source)
    shards = list_shards(source)
    notes = _note_shards(source, shards)
    is_parquet = source.lower().endswith(".parquet")
    if is_parquet and (unpacked := _unpack(source, shards, config, cache)):
        manifest, column = unpacked
        folder = os.path.dirname(manifest)
        new = {"roots": (folder,), "path_column": column}
        reading = config.reading.model_copy(update=new)
        config = config.model_copy(update={"reading": reading})
        notes.append(f"the pictures of {source} lie in {folder} as files")
        rows = read_rows(manifest, config)
    else:
        rows = _read_shards(shards, config)
    if not rows:
        raise InputError(f"A manifest must list pictures. Received: {source!r}, which lists none.")
    several = config.reading.label_separator is not None or any(row.is_list for row in rows)
    _check_several(config, source, several)
    if not several:
        rows = _leave_out_unlabelled(rows, notes)
    entries, repeated = _look_at(rows, config, source, several)
    classes = _find_classes(entries, source)
    groups = find_groups([entry.name for entry in entries], config.split.group_pattern)
    if config.split.group_column is not None:
        groups = tuple(entry.group for entry in entries)
    if several:
        task, array = tasks["several"], _to_rows(entries, classes)
    else:
        task = tasks["classes"]
        array = np.array([classes.index(entry.labels[0]) for entry in entries], np.int64)
    listed = _make_sets(entries, groups, task.read(array))
    return Listing(source, classes, task, listed, config.row, (*notes, *repeated))


def _read_shards(shards: Sequence[Shard], config: DataConfig) -> list[Row]:
    """Read all files of a data set, whose names say the split of rows that say none."""
    if not shards[0].split:
        return read_rows(shards[0].path, config)
    return [
        replace(row, split=row.split or split, place=f"{os.path.basename(path)}, {row.place}")
        for path, split in shards
        for row in read_rows(path, config)
    ]


def _note_shards(manifest: str, shards: Sequence[Shard]) -> list[str]:
    others = [os.path.basename(path) for path, _ in shards if path != manifest]
    if not others:
        return []
    shown = ", ".join(others[:5]) + (", …" if len(others) > 5 else "")
    return [f"{manifest} is read with the other files of its data set: {shown}"]


def _leave_out_unlabelled(rows: Sequence[Row], notes: list[str]) -> list[Row]:
    """Leave out splits of which no row has a label, as in the test lists of contests."""
    names = [find_split(row.split) or "train" for row in rows]
    splits: dict[str, list[Row]] = {}
    for name, row in zip(names, rows, strict=True):
        splits.setdefault(name, []).append(row)
    without = [
        name
        for name, listed in splits.items()
        if name != "train" and not any(row.labels or row.fault for row in listed)
    ]
    notes += [
        f"the {len(splits[name]):,} pictures of the split {name} have no labels and are not read"
        for name in without
    ]
    return [row for name, row in zip(names, rows, strict=True) if name not in without]


def _unpack(
    manifest: str, shards: Sequence[Shard], config: DataConfig, cache: Path
) -> Unpacked | None:
    """Write the pictures that lie in a Parquet file into the cache."""
    try:
        return unpack_pictures(manifest, shards, config, cache)
    except ImportError:
        return None  # The reader of manifests says which package is missing.
    except (OSError, ValueError, NotImplementedError) as error:
        if isinstance(error, InputError) or find_full_disk(error):
            raise
        return None  # The reader of manifests says what is wrong with the file.


def _check_several(config: DataConfig, manifest: str, several: bool) -> None:
    """Refuse settings that need one label a picture if labels turned out to be lists."""
    if several and (config.balance != "none" or config.split.shots):
        raise InputError(
            "balance and shots need one label a picture. Received: "
            f"balance={config.balance!r}, shots={config.split.shots}, and lists of labels in "
            f"{manifest!r}. Leave them out."
        )


def _look_at(
    rows: Sequence[Row], config: DataConfig, manifest: str, several: bool
) -> tuple[list[_Entry], list[str]]:
    """Turn lines into pictures; refuse all wrong lines together, and note repeated ones."""
    finder = Finder(config.reading.roots or (os.path.dirname(manifest),), config.row.endings)
    entries: dict[str, _Entry] = {}
    faults, repeated = [], []
    for row in rows:
        fault = _find_fault(row, config, several)
        if fault:
            faults.append(f"  {row.place}: {fault}")
            continue
        split = find_split(row.split) or "train"
        name = row.path if is_address(row.path) else os.path.normpath(row.path)
        name = name.replace(os.sep, "/")
        labels = tuple(sorted(set(row.labels)))
        entry = _Entry(row.place, name, finder.find(row.path), labels, split, row.group)
        first = entries.setdefault(os.path.normpath(entry.path), entry)
        if first is entry:
            continue
        if (first.labels, first.split, first.group) == (labels, split, row.group):
            repeated.append(f"{row.place} ({row.path})")
        else:
            faults.append(
                f"  {row.place}: {row.path!r} stands in {first.place} with another "
                "label, split or group"
            )
    _fail_on_faults(faults, len(rows), manifest)
    return list(entries.values()), _note_repeated(repeated)


def _find_fault(row: Row, config: DataConfig, several: bool) -> str | None:
    """Return the fault of a line, or None if it has no fault."""
    if row.fault:
        return row.fault
    if not row.path.strip():
        return f"no path in the column {config.reading.path_column!r}"
    if not _is_path(row.path):
        return f"{row.path!r} cannot be a path"
    if os.sep == "/" and _DRIVE.match(row.path):
        return (
            f"{row.path!r} lies on a drive of Windows, which this system does not have; name it "
            "from its folder on, and the folder in data.reading.roots"
        )
    if not row.labels and not several:
        return f"no label in the column {config.reading.label_column!r}"
    unprintable = [label for label in row.labels if not label.isprintable()]
    if unprintable:
        return f"the label {unprintable[0]!r} is not printable text"
    if not _can_be_encoded(row.group):
        return f"the group {row.group!r} holds a broken character"
    if row.split and not find_split(row.split):
        known = ", ".join(SPLIT_NAMES)
        return f"unknown split {row.split!r}, not of {known}.{nearest(row.split, SPLIT_NAMES)}"
    if config.split.group_column is not None and not row.group:
        return f"no group in the column {config.split.group_column!r}"
    return None


def _is_path(text: str) -> bool:
    """Return whether a text can name a file: it has no zero bytes and no broken characters."""
    try:
        if is_address(text):
            to_place(text)
        return "\0" not in text and _can_be_encoded(text)
    except InputError:
        return False


def _can_be_encoded(text: str) -> bool:
    """Return whether a text has no half characters (lone surrogates), which JSON allows."""
    try:
        os.fsencode(text)
        return True
    except UnicodeEncodeError:
        return False


def _fail_on_faults(faults: Sequence[str], total: int, manifest: str) -> None:
    if not faults:
        return
    more = [f"  … and {len(faults) - _SHOWN:,} more"] if len(faults) > _SHOWN else []
    raise InputError(
        "\n".join(
            [
                "Every line of a manifest must name a picture and its label, once. "
                f"Received: {manifest!r}, in which {len(faults):,} of {total:,} are wrong:",
                *faults[:_SHOWN],
                *more,
                "Correct these lines or remove them.",
            ]
        )
    )


def _note_repeated(repeated: Sequence[str]) -> list[str]:
    if not repeated:
        return []
    shown = ", ".join(repeated[:5]) + (", …" if len(repeated) > 5 else "")
    return [f"{len(repeated):,} lines repeat an earlier one and are read once: {shown}"]


def _find_classes(entries: Sequence[_Entry], manifest: str) -> tuple[str, ...]:
    """Return the sorted labels of the training pictures; refuse labels that only others have."""
    train = [entry for entry in entries if entry.split == "train"]
    if not train:
        raise InputError(
            f"A manifest must list training pictures. Received: {manifest!r}, with "
            f"{len(entries):,} pictures, none of them of the split train. Add some."
        )
    classes = tuple(sorted({label for entry in train for label in entry.labels}))
    _refuse_quantities(classes, len(train), manifest)
    known = set(classes)
    for entry in entries:
        unknown = [label for label in entry.labels if label not in known]
        if unknown:
            raise InputError(
                f"The {entry.split} split must have the classes of the training pictures "
                f"({', '.join(classes[:20])}). Received: {unknown[0]!r} in {entry.place} of "
                f"{manifest!r}.{nearest(unknown[0], classes)} Correct or remove the line."
            )
    return classes


def _refuse_quantities(classes: Sequence[str], count: int, manifest: str) -> None:
    """Refuse labels that are numbers with fractions, most of them different."""
    if len(classes) < _FEWEST_QUANTITIES or 2 * len(classes) <= count:
        return
    try:
        if all(float(label).is_integer() for label in classes):
            return
    except (ValueError, OverflowError):
        return
    raise InputError(
        "Labels must be the names of classes, each of several pictures. Received: "
        f"{manifest!r}, whose labels are {len(classes):,} numbers for {count:,} pictures, such as "
        f"{', '.join(classes[:3])}. Quantities cannot be learned; divide them into ranges, and "
        "write the name of its range for each picture."
    )


def _to_rows(entries: Sequence[_Entry], classes: Sequence[str]) -> np.ndarray:
    numbers = {label: number for number, label in enumerate(classes)}
    rows = np.zeros((len(entries), len(classes)), np.int8)
    for row, entry in enumerate(entries):
        rows[row, [numbers[label] for label in entry.labels]] = 1
    return rows


def _make_sets(
    entries: Sequence[_Entry], groups: Sequence[str], labels: Labels
) -> dict[str, FileSet]:
    """Put the pictures into their splits, ``train`` first."""
    whole = FileSet(tuple(entry.path for entry in entries), labels, tuple(groups))
    splits = np.array([entry.split for entry in entries])
    present = [name for name in ("train", "validation", "test") if name in set(splits)]
    return {name: whole.choose(np.flatnonzero(splits == name)) for name in present}
