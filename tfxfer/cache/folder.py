"""The folders of the cache: where they lie, which are being written, and which were left behind.

Imports no TensorFlow.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path

from tfxfer.cache.in_use import claim
from tfxfer.errors import InputError

# The disk, or a user's share of it, is full.
FULL = (errno.ENOSPC, errno.EDQUOT)
UNFINISHED = ".unfinished-"
_ABANDONED_SECONDS = 3600
# Folders of the cache for other things than features: archives that were unpacked, data sets of
# Python that were written down, what was seen of files, and how far stopped runs are.
OTHERS = ("archives", "datasets", "audit", "checkpoints")
# Names of folders that are the cache's own: no other one is touched.
KEY = re.compile(r"[0-9a-f]{32}")


def make_folder(path: Path) -> None:
    """Make a folder of the cache.

    Raises:
        InputError: the cache cannot be written to.
        OSError: the disk is full.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in FULL:
            raise
        raise InputError(
            "The cache of features must be a folder that can be written to. Received: "
            f"{str(path.parent)!r}: {error.strerror}. Name another with "
            "--set features.cache_dir=DIR or the environment variable TFXFER_CACHE."
        ) from error


def is_being_written(place: Path) -> bool:
    """Whether some process is adding a shard to the features of one kind."""
    return any(not is_abandoned(path) for path in place.glob(f"{UNFINISHED}*"))


def is_abandoned(staging: Path) -> bool:
    """Whether nothing was written to an unfinished folder for long."""
    with suppress(OSError):
        written = max(path.stat().st_mtime for path in (staging, *staging.rglob("*")))
        return time.time() - written > _ABANDONED_SECONDS
    return False


def list_folders(folder: Path) -> list[Path]:
    """The folders in a folder, but for those that are being written; none where it is not there."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def locate(configured: str | None = None) -> Path:
    """Where features are kept: as configured, else ``$TFXFER_CACHE``, else ``~/.cache/tfxfer``."""
    named = configured or os.environ.get("TFXFER_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "tfxfer"


def measure_others(folder: Path) -> dict[str, int]:
    """Bytes of what else the cache holds, by the folder's name."""
    sizes = {name: sum(map(_measure, list_others(folder, name))) for name in OTHERS}
    return {name: size for name, size in sizes.items() if size}


def clear_others(folder: Path) -> int:
    """Remove what else the cache holds, and return the bytes that are freed.

    What a process reads of it stays (`in_use.hold`). Configs of runs on a Python data set name a
    folder of it, and cannot be replayed afterwards.
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
    """What lies in such a folder under a name of the cache's own, or was left by a killed run."""
    left = [path for path in (folder / name).glob(f"{UNFINISHED}*") if is_abandoned(path)]
    return [*left, *(path for path in (folder / name).glob("*") if KEY.fullmatch(path.stem))]


def _measure(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
