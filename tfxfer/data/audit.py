"""Look at all files of a source: what cannot be used, what is odd, and what is there twice.

What was seen of a file is kept in the cache, and the file is not looked at again while it stays
the same.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tfxfer.data.copies import find_conflicts, find_copies, find_leaks
from tfxfer.data.inspect import look_at_files, stack_thumbnails
from tfxfer.data.labels import has_several
from tfxfer.data.looks import Audit, Copies, Look
from tfxfer.data.pictures import FileSet
from tfxfer.data.places import for_each, stamp
from tfxfer.features.shards import digest

# Below the cache's folder; raised when the same file would be seen in another way.
_FOLDER, _VERSION = "audit", 2


def audit_files(
    source: str,
    classes: tuple[str, ...],
    listed: Mapping[str, FileSet],
    cache: Path | None = None,
    show: Callable[[int, int], None] = lambda done, total: None,
) -> Audit:
    """Look at every file of a source.

    Args:
        source: where the files come from, for people.
        classes: class names.
        listed: the files by split.
        cache: where what was seen is kept; None: nowhere.
        show: is told now and then how many files are done, and how many there are.
    """
    paths = [path for split in listed.values() for path in split.paths]
    looks = _look(paths, cache / _FOLDER / f"{digest(source)}.json" if cache else None, show)
    usable = [row for row, look in enumerate(looks) if not look.fault]
    seen = [looks[row] for row in usable]
    sizes = np.array([(look.height_px, look.width_px) for look in seen]).reshape(-1, 2)
    is_turned = np.array(["turned" in look.oddities for look in seen], bool)
    # Most that are turned at all are turned by a quarter; the thumbnail is compared all the same.
    sizes[is_turned] = np.sort(sizes[is_turned], axis=1)
    found = find_copies([look.digest for look in seen], stack_thumbnails(seen), sizes)
    copies = tuple(
        Copies(tuple(usable[row] for row in group.rows), group.is_exact) for group in found
    )
    splits = tuple(name for name, split in listed.items() for _ in split.paths)
    labels = np.concatenate([split.labels for split in listed.values()])
    return Audit(
        source=source,
        classes=classes,
        looks=tuple(looks),
        splits=splits,
        labels=tuple(_numbers(labels)),
        copies=copies,
        conflicts=find_conflicts(copies, labels),
        leaks=tuple(find_leaks(copies, splits)),
    )


def _numbers(labels: np.ndarray) -> list[tuple[int, ...]]:
    """The class numbers of each picture."""
    if has_several(labels):
        return [tuple(map(int, np.flatnonzero(row))) for row in labels]
    return [(int(label),) for label in labels]


def _look(paths: Sequence[str], file: Path | None, show: Callable[[int, int], None]) -> list[Look]:
    """Look at those files that were not seen as they are now."""
    stamps = for_each(_stamp, paths)
    known = _read(file) if file else {}
    missing = [row for row, path in enumerate(paths) if known.get(path, ("",))[0] != stamps[row]]
    found = look_at_files([paths[row] for row in missing], lambda done: show(done, len(missing)))
    fresh = dict(zip(missing, found, strict=True))
    looks = [fresh.get(row) or known[path][1] for row, path in enumerate(paths)]
    if file and missing:
        _write(file, looks, stamps)
    return looks


def _stamp(path: str) -> str:
    """Changes when a file is replaced or edited; ``"gone"`` where there is none to look at."""
    try:
        return stamp(path)
    except OSError:
        return "gone"


def _read(file: Path) -> dict[str, tuple[str, Look]]:
    """What was seen before, by path; nothing where the file is damaged or of another version."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        if stored["version"] != _VERSION:
            return {}
        known = {}
        for stamp, row in stored["looks"]:
            row["oddities"] = tuple(row["oddities"])
            row["thumbnail"] = bytes.fromhex(row["thumbnail"])
            known[row["path"]] = (stamp, Look(**row))
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return known


def _write(file: Path, looks: Sequence[Look], stamps: Sequence[str]) -> None:
    """Keep what was seen; a cache that cannot be written to is done without."""
    rows = [
        (stamp, asdict(look) | {"thumbnail": look.thumbnail.hex()})
        for stamp, look in zip(stamps, looks, strict=True)
    ]
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump({"version": _VERSION, "looks": rows}, stream)
        os.replace(name, file)
