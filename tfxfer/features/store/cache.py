"""The folder of stored features: its content, its size, and the removal of old features.

This module imports no TensorFlow.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tfxfer.cache.folder import KEY, is_being_written, list_folders
from tfxfer.features.store.shards import ABOUT, MADE_BY, read_index
from tfxfer.machine.runtime import available_memory_bytes


@dataclass(frozen=True)
class Stored:
    """Features of one kind, a line of ``tfxfer cache``.

    Attributes:
        path: Their folder.
        about: A description of the features.
        items: The number of rows; each view of an item has one.
        bytes: The size of their files.
        used: When they were last looked up.
    """

    path: Path
    about: dict[str, Any]
    items: int
    bytes: int
    used: datetime


def list_stored(folder: Path) -> list[Stored]:
    """List what the cache holds, the most recently used first; other folders in it are ignored."""
    lines = []
    for place in list_folders(folder):
        with suppress(OSError, ValueError, TypeError):  # Another process may be removing it.
            about = dict(json.loads((place / ABOUT).read_text(encoding="utf-8")))
            if about.get("made_by") != MADE_BY or not KEY.fullmatch(place.name):
                continue
            rows = sum(len(read_index(path).get("identities", ())) for path in list_folders(place))
            files = [path for path in place.glob("**/*") if path.is_file()]
            size = sum(path.stat().st_size for path in files)
            used = datetime.fromtimestamp(place.stat().st_mtime)
            lines.append(Stored(place, about, rows, size, used))
    return sorted(lines, key=lambda line: line.used, reverse=True)


def has_room(
    folder: Path, needed_bytes: int, keep: Collection[str], budget_bytes: int | None = None
) -> bool:
    """Return whether so much more may be stored if all other features are removed.

    Args:
        folder: The cache.
        needed_bytes: The size of the features to store.
        keep: The keys of features that stay.
        budget_bytes: The largest size of the whole cache. None takes a quarter of the disk's free
            space plus the cache's present size, but at most four times the available memory,
            because a larger store would be read from the disk again in every epoch.
    """
    return _excess(list_stored(folder), folder, needed_bytes, keep, budget_bytes)[1]


def make_room(
    folder: Path, needed_bytes: int, keep: Collection[str], budget_bytes: int | None = None
) -> bool:
    """Return the same as `has_room`, and remove the least recently used features if needed."""
    excess, fits = _excess(list_stored(folder), folder, needed_bytes, keep, budget_bytes)
    if fits and excess > 0:
        clear(folder, keep, excess)
    return fits


def clear(folder: Path, keep: Collection[str] = (), needed_bytes: int | None = None) -> int:
    """Remove stored features, the least recently used first, and return the bytes that are freed.

    A run that reads them goes on, because it holds the files open. Features that are being written
    stay.

    Args:
        folder: The cache.
        keep: The keys of features that stay.
        needed_bytes: How many bytes to free; None removes everything.
    """
    freed = 0
    for line in reversed(list_stored(folder)):
        if needed_bytes is not None and freed >= needed_bytes:
            break
        if line.path.name not in keep and not is_being_written(line.path):
            shutil.rmtree(line.path, ignore_errors=True)
            freed += 0 if line.path.exists() else line.bytes
    return freed


def _excess(
    held: list[Stored],
    folder: Path,
    needed_bytes: int,
    keep: Collection[str],
    budget_bytes: int | None,
) -> tuple[int, bool]:
    """Return the bytes that have to be removed for new features, and whether that is possible."""
    held_bytes = sum(line.bytes for line in held)
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free_bytes = shutil.disk_usage(existing).free
    if budget_bytes is None:
        memory_bytes = available_memory_bytes()
        budget_bytes = min((free_bytes + held_bytes) // 4, 4 * memory_bytes)
    budget_bytes = min(budget_bytes, free_bytes + held_bytes)
    stays = sum(line.bytes for line in held if line.path.name in keep)
    return held_bytes + needed_bytes - budget_bytes, stays + needed_bytes <= budget_bytes
