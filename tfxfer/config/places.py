"""Tell paths from addresses and from other sources. Imports no TensorFlow."""

from __future__ import annotations

import re
from pathlib import Path

from tfxfer.config.table import absolute
from tfxfer.errors import InputError

SOURCE_PREFIXES = ("tfds:", "embedded:", "tfrecord:", "arrayrecord:", "dataset:")


def is_address(source: str) -> bool:
    """Whether a source is somewhere else than in the file system: ``gs://…``."""
    return re.match(r"[a-z][a-z0-9+.-]*://", source, re.IGNORECASE) is not None


def to_place(path: str) -> str:
    """An absolute path, or an address as it is; ``file:///…`` is a path like any other.

    Raises:
        InputError: a ``file://`` address names another machine.
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
    """A source or a place, absolute; what is told by a prefix is left as it is.

    Raises:
        InputError: it is blank.
    """
    prefix, _, pattern = (source or "").partition(":")
    if prefix in ("tfrecord", "arrayrecord") and pattern and not is_address(pattern):
        return f"{prefix}:{absolute(pattern)}"
    if source is None or source.startswith(SOURCE_PREFIXES):
        return source
    if not source.strip():
        raise InputError("a folder, a file, tfds:NAME or embedded:birds is needed. Received: ''.")
    return to_place(source)


def is_among_pictures(path: str | Path, source: str | None) -> bool:
    """Whether a path lies in the folder of pictures that a source names.

    Manifests, archives and records are files, which nothing can be written into; what is written
    beside them is not taken for pictures.
    """
    if source is None or source.startswith(SOURCE_PREFIXES) or is_address(source):
        return False
    folder = Path(source).resolve()
    return not folder.is_file() and Path(path).resolve().is_relative_to(folder)
