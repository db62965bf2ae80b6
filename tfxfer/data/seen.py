"""What was seen of pictures, kept in the cache: none is looked at twice while it stays the same."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tfxfer.cache.digest import digest
from tfxfer.records.audits import Look

# Below the cache's folder; raised when the same picture would be seen in another way.
_FOLDER, _VERSION = "audit", 2


def place_of(cache: Path, source: str) -> Path:
    """The file that holds what was seen of a source."""
    return cache / _FOLDER / f"{digest(source)}.json"


def read_looks(file: Path) -> dict[str, tuple[str, Look]]:
    """What was seen before, by where the picture lies, each with the picture's stamp of then.

    Nothing where the file is damaged or of another version.
    """
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


def write_looks(file: Path, looks: Mapping[str, tuple[str, Look]]) -> None:
    """Keep what was seen; a cache that cannot be written to is done without."""
    rows = [
        (stamp, asdict(look) | {"thumbnail": look.thumbnail.hex()})
        for stamp, look in looks.values()
    ]
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump({"version": _VERSION, "looks": rows}, stream)
        os.replace(name, file)
