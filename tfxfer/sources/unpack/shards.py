"""The Parquet files of one data set, which their names tell: ``train-00000-of-00002.parquet``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from tfxfer.config.places import is_address
from tfxfer.errors import InputError
from tfxfer.sources.folders.names import read_split_name

# The numbers count the files of a split, from 0; Hugging Face may add a digest of them.
_NAME = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<digest>-\w+)?\.parquet")


class Shard(NamedTuple):
    """A file of a data set.

    Attributes:
        path: Where it lies.
        split: The split that its name says, such as ``"train"``; empty if it says none.
    """

    path: str
    split: str


def list_shards(manifest: str) -> Sequence[Shard]:
    """Return the files that belong to the same data set as one of them.

    Args:
        manifest: A table. If it is no numbered Parquet file that is there, it stands alone.

    Raises:
        InputError: The names say that there are more files than lie there, or two sets of files
            for one split.
    """
    folder, name = os.path.split(manifest)
    own = _NAME.fullmatch(name)
    said = read_split_name(own["split"]) if own else None
    if said is None or is_address(manifest) or not os.path.isfile(manifest):
        return [Shard(manifest, "")]
    splits: dict[str, dict[str, list[str]]] = {}
    for each in filter(None, map(_NAME.fullmatch, sorted(os.listdir(folder or ".")))):
        split = read_split_name(each["split"])
        if split and split.others == said.others:
            pattern = f"{each['split']}-*-of-{each['count']}"
            splits.setdefault(split.split, {}).setdefault(pattern, []).append(each[0])
    for split_name, sets in splits.items():
        if len(sets) > 1:
            raise InputError(
                f"The files of a split must be one set. Received: {manifest!r}, beside which "
                f"{' and '.join(sets)} both say {split_name}. Move those away that do not belong "
                "to it."
            )
        for pattern, files in sets.items():
            _check_numbers(manifest, pattern, files)
    return [
        Shard(os.path.join(folder, file), split_name)
        for split_name, sets in splits.items()
        for files in sets.values()
        for file in files
    ]


def _check_numbers(manifest: str, pattern: str, files: Sequence[str]) -> None:
    """Refuse a set of files of which one is missing, or there twice."""
    numbers = [int(found["number"]) for found in map(_NAME.fullmatch, files) if found]
    missing = set(range(int(pattern[-5:]))) - set(numbers)
    if missing:
        raise InputError(
            f"All files of a data set must lie beside each other. Received: {manifest!r}, "
            f"where {pattern}.parquet lacks number {min(missing):05d}. Fetch it, or give the "
            "files that you want names without numbers and take them one at a time."
        )
    if len(set(numbers)) < len(numbers):
        raise InputError(
            f"Each number must stand for one file. Received: {manifest!r}, beside which two "
            f"files have the same one: {', '.join(files)}. Move those away that do not belong to "
            "it."
        )
