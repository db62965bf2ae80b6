"""The looks at items in the cache, so that no unchanged item is looked at twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from tfxfer.cache.digest import digest
from tfxfer.cache.folder import keep_json
from tfxfer.records.audits import Look

# The version is raised when looks at the same item change.
_FOLDER, _VERSION = "audit", 3


def place_of(cache: Path, source: str) -> Path:
    """Return the file that holds the looks at a source's items."""
    return cache / _FOLDER / f"{digest(source)}.json"


def read_looks(file: Path) -> dict[str, tuple[str, Look]]:
    """Read earlier looks by where the item lies, each with the stamp that the item had then.

    The result is empty if the file is damaged or of another version.
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
    """Write looks; if the cache cannot be written to, they are not kept."""
    rows = [
        (stamp, asdict(look) | {"thumbnail": look.thumbnail.hex()})
        for stamp, look in looks.values()
    ]
    keep_json(file, {"version": _VERSION, "looks": rows})
