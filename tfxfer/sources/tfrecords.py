"""Pictures in TFRecord and ArrayRecord files: ``tfrecord:PATTERN`` and ``arrayrecord:PATTERN``."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from tfxfer.config.data import DataConfig
from tfxfer.data.items import ItemSet
from tfxfer.data.listing import TFRECORDS, Listing
from tfxfer.errors import InputError
from tfxfer.sources.label_lists import to_labels
from tfxfer.sources.tfrecords_check import TFRecords, find_keys, list_tfrecords
from tfxfer.sources.tfrecords_files import ARRAYRECORD, TFRECORD, TFRecordSet, read_tfrecords
from tfxfer.task import Tasks

_WILDCARD = re.compile(r"[*?\[{]")
_NUMBERED = re.compile(r"(.*)-(\d{5,})-of-(\d{5,})(.*)")


def list_tfrecord_files(config: DataConfig, cache: Path, tasks: Tasks) -> Listing:
    """Read files of `tf.train.Example` messages once, and list their pictures.

    ``picture_key`` names a bytes feature with an encoded picture; by default it is
    ``image/encoded`` or ``image``, else the only picture. ``label_key`` names a feature with one
    or several class numbers (int64) or class names (bytes); by default it is
    ``image/class/label`` or ``label``. ``train``, ``validation`` and ``test`` of
    ``[data.split]`` are patterns of files relative to the source's folder. Without ``train``, all
    files of the source that no other pattern matches are for training.

    Raises:
        InputError: There are no such files, a file is truncated or corrupt or in two splits, or
            features or labels are unknown.
    """
    kind = TFRECORD if str(config.source).startswith(TFRECORD) else ARRAYRECORD
    files = find_files(str(config.source).removeprefix(kind), config)
    keys = _find_keys(kind, files, config)
    found = {name: list_tfrecords(kind, paths, keys) for name, paths in files.items()}
    listed = {name: each.labels for name, each in found.items()}
    classes, task, labels = to_labels(listed, tasks, config.reading.class_names)
    splits: dict[str, ItemSet] = {
        name: TFRecordSet(kind, tuple(files[name]), each.counts, keys[0], labels[name], each.places)
        for name, each in found.items()
    }
    several = _note_several(found) if task is tasks["several"] else []
    return Listing(
        str(config.source),
        classes,
        task,
        splits,
        config.row,
        (*_note_unread(files), *several),
        TFRECORDS,
        {name: each.bad for name, each in found.items()},
    )


def find_files(source: str, config: DataConfig) -> dict[str, list[str]]:
    """Return the files of each split, in the order of their names.

    Args:
        source: A pattern of files, or the folder that the splits' patterns are relative to.
        config: The settings of the data.

    Raises:
        InputError: A pattern matches nothing, or a file is in two splits.
    """
    folder = source if tf.io.gfile.isdir(source) else _folder_of(source)
    patterns = {
        name: os.path.join(folder, pattern)
        for name in ("train", "validation", "test")
        if (pattern := getattr(config.split, name))
    }
    found = {name: _match(pattern, folder) for name, pattern in patterns.items()}
    if "train" not in found:
        if folder == source:
            raise InputError(
                "Records are named by a pattern of files, or by a folder and data.split.train. "
                f"Received: {source!r}, which is a folder. Its files are {_describe(folder)}."
            )
        held_out = {path for paths in found.values() for path in paths}
        rest = [path for path in _match(source, folder) if path not in held_out]
        if not rest:
            raise InputError(
                "Some files must be left for training. Received: "
                f"{source!r}, all of whose files are in {' or '.join(found)}. "
                "Name those for training with data.split.train."
            )
        found = {"train": rest, **found}
    owners: dict[str, str] = {}
    for name, paths in found.items():
        for path in paths:
            if path in owners:
                raise InputError(
                    "A file of records belongs to one split: what was trained on proves nothing. "
                    f"Received: {path!r} in {owners[path]} and in {name}. Set data.split.{name} "
                    f"or data.split.{owners[path]} to other files."
                )
            owners[path] = name
    return found


def _folder_of(pattern: str) -> str:
    """Return the folder that holds all files that a pattern may match."""
    wildcard = _WILDCARD.search(pattern)
    return os.path.dirname(pattern[: wildcard.start()] if wildcard else pattern)


def _match(pattern: str, folder: str) -> list[str]:
    try:
        paths = sorted(path for path in tf.io.gfile.glob(pattern) if not tf.io.gfile.isdir(path))
    except tf.errors.OpError as error:
        raise InputError(
            f"Records must lie where they can be read. Received: {pattern!r} ({error.message}). "
            "Check the path."
        ) from error
    if not paths:
        raise InputError(
            "A pattern of files must match some, such as 'photos/train-*.tfrecord*'. Received: "
            f"{pattern!r}, which matches none. In {folder!r} there are {_describe(folder)}."
        )
    return paths


def _describe(folder: str) -> str:
    """Return the first names in a folder as a text for an error."""
    try:
        names = sorted(tf.io.gfile.listdir(folder or "."))
    except tf.errors.OpError:
        return "no files (there is no such folder)"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more if names else "no files"


def _find_keys(kind: str, files: Mapping[str, list[str]], config: DataConfig) -> tuple[str, str]:
    for path in files["train"]:
        for record in read_tfrecords(kind, path):
            return find_keys(record, path, config.reading.picture_key, config.reading.label_key)
    raise InputError(
        "Files of records must hold some. Received: none in "
        f"{', '.join(map(repr, files['train'][:5]))}. Write the files again."
    )


def _note_unread(files: Mapping[str, list[str]]) -> list[str]:
    """Note the sets of numbered files of which some are not read."""
    numbered: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for path in (path for paths in files.values() for path in paths):
        if match := _NUMBERED.fullmatch(path):
            start, number, total, end = match.groups()
            numbered[start, total, end].add(number)
    return [
        f"{len(numbers)} of {int(total)} files of {start}-*-of-{total}{end} are read"
        for (start, total, end), numbers in numbered.items()
        if len(numbers) < int(total)
    ]


def _note_several(found: Mapping[str, TFRecords]) -> list[str]:
    """Say how many pictures have several labels."""
    lists = [row for each in found.values() for row in each.labels]
    several = sum(len(set(row)) > 1 for row in lists)
    return [
        f"pictures may have several labels: {several:,} of {len(lists):,} have, "
        f"{sum(not row for row in lists):,} have none"
    ]
