"""The distinction of paths, addresses and other sources. This module imports no TensorFlow."""

from __future__ import annotations

import re
from pathlib import Path

from tfxfer.config.table import absolute
from tfxfer.errors import InputError

# What can be named as data: what errors say is allowed is read from here.
SOURCES = (
    "a folder of class folders",
    "a manifest such as list.csv",
    "an archive of a folder such as photos.zip",
    "tfds:NAME",
    "tfrecord:PATTERN",
    "arrayrecord:PATTERN",
    "embedded:birds",
)
ALLOWED_SOURCES = f"{', '.join(SOURCES[:-1])} or {SOURCES[-1]}"
SOURCE_PREFIXES = ("tfds:", "embedded:", "tfrecord:", "arrayrecord:", "dataset:")


def is_address(source: str) -> bool:
    """Return whether a source is an address such as ``gs://…`` and not a path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", source, re.IGNORECASE) is not None


def to_place(path: str) -> str:
    """Return an absolute path, or an unchanged address; ``file:///…`` becomes a path.

    Raises:
        InputError: A ``file://`` address names another machine.
    """
    if not path.lower().startswith("file://"):
        return path if is_address(path) else absolute(path)
    local = re.sub("^file://(localhost)?(?=/)", "", path, flags=re.IGNORECASE)
    if is_address(local):
        raise InputError(
            "A file:// address must name a place on this machine: file:///FOLDER. "
            f"Received: {path!r}. Name it by its path."
        )
    return absolute(local)


def to_source(source: str | None) -> str | None:
    """Return a source or place as absolute; sources with a prefix are not changed.

    Raises:
        InputError: The source is blank.
    """
    prefix, _, pattern = (source or "").partition(":")
    if prefix in ("tfrecord", "arrayrecord") and pattern and not is_address(pattern):
        return f"{prefix}:{absolute(pattern)}"
    if source is None or source.startswith(SOURCE_PREFIXES):
        return source
    if not source.strip():
        raise InputError(
            f"data must be {ALLOWED_SOURCES}. Received: ''. Name one, or leave it out."
        )
    return to_place(source)


def is_among_items(path: str | Path, source: str | None) -> bool:
    """Return whether a path lies in the folder of pictures that a source names.

    Manifests, archives and TFRecord files are files, into which nothing can be written, and files
    beside them are not taken for pictures.
    """
    if source is None or source.startswith(SOURCE_PREFIXES) or is_address(source):
        return False
    folder = Path(source).resolve()
    return not folder.is_file() and Path(path).resolve().is_relative_to(folder)
