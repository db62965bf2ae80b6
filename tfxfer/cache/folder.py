"""The folders of the cache: where they lie, which are being written, and which were left behind.

This module imports no TensorFlow.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tfxfer.cache.in_use import claim
from tfxfer.errors import FULL, InputError

UNFINISHED = ".unfinished-"
_ABANDONED_SECONDS = 3600
# The folders of the cache that hold no features: unpacked archives, Python data sets written as
# files, findings of audits, checkpoints of stopped runs, and the engines that were chosen.
OTHERS = ("archives", "datasets", "audit", "checkpoints", "engines")
# The names of the cache's own folders match this; nothing else is touched.
KEY = re.compile(r"[0-9a-f]{32}")


def make_folder(path: Path) -> None:
    """Make a folder of the cache.

    Raises:
        InputError: The cache cannot be written to.
        OSError: The disk is full.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in FULL:
            raise
        raise _not_writable(path.parent, str(error.strerror)) from error


def check_writable(folder: Path) -> None:
    """Refuse a cache that cannot be written to, before the slow work begins.

    Raises:
        InputError: The cache cannot be made, or belongs to another user.
    """
    try:
        make_folder(folder)
    except OSError:
        return  # A full disk is noted when features are stored.
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _not_writable(folder, os.strerror(errno.EACCES))


def _not_writable(folder: Path, reason: str) -> InputError:
    return InputError(
        "The cache of features must be a folder that can be written to. Received: "
        f"{str(folder)!r}: {reason}. Name another with --set features.cache_dir=DIR or the "
        "environment variable TFXFER_CACHE, or take --set features.max_disk_gb=0 to store nothing."
    )


def keep_json(file: Path, value: Any) -> None:
    """Write a value as JSON in one step; if the cache cannot be written to, it is not kept."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(value, stream)
        os.replace(name, file)


def is_being_written(place: Path) -> bool:
    """Return whether some process is adding a shard to the features of one kind."""
    return any(not is_abandoned(path) for path in place.glob(f"{UNFINISHED}*"))


def is_abandoned(staging: Path) -> bool:
    """Return whether nothing was written to an unfinished folder for an hour."""
    with suppress(OSError):
        written = max(path.stat().st_mtime for path in (staging, *staging.rglob("*")))
        return time.time() - written > _ABANDONED_SECONDS
    return False


def list_folders(folder: Path) -> list[Path]:
    """List the finished folders in a folder, sorted; none if the folder is not there."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def locate(configured: str | None = None) -> Path:
    """Give the cache's folder: as configured, else ``$TFXFER_CACHE``, else ``~/.cache/tfxfer``."""
    named = configured or os.environ.get("TFXFER_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "tfxfer"


def measure_others(folder: Path) -> dict[str, int]:
    """Return the sizes in bytes of what the cache holds besides features, by folder name."""
    sizes = {name: sum(map(_measure, list_others(folder, name))) for name in OTHERS}
    return {name: size for name, size in sizes.items() if size}


def clear_others(folder: Path) -> int:
    """Remove what the cache holds besides features, and return the bytes that are freed.

    Folders that a process is reading stay (`in_use.hold`). The config of a run on a Python data
    set names a folder of the cache, so that such a run cannot be replayed afterwards.
    """
    freed = 0
    for path in (path for name in OTHERS for path in list_others(folder, name)):
        size = _measure(path)
        with claim(path) as is_free:
            if is_free and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif is_free:
                path.unlink(missing_ok=True)
        freed += 0 if path.exists() else size
    return freed


def list_others(folder: Path, name: str) -> list[Path]:
    """List what one of the `OTHERS` holds: complete entries, and remains of killed runs."""
    left = [path for path in (folder / name).glob(f"{UNFINISHED}*") if is_abandoned(path)]
    return [*left, *(path for path in (folder / name).glob("*") if KEY.fullmatch(path.stem))]


def _measure(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
