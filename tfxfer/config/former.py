"""The keys of ``[data]`` before they were grouped, and the things that still depend on them.

Configs that earlier versions wrote with them can still be read. People who write them by hand get
an error with the new keys. Runs and searches are still named by them, so that what an earlier
version began is found again. This module imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomli_w

from tfxfer.config.config import Config
from tfxfer.config.data import FORMER_KEYS, DataConfig

# Every earlier version wrote these keys into [data].
_ALWAYS_WRITTEN = {"batch_size", "on_bad", "validation_fraction", "test_fraction"}


def read_former(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table of a preset or config, with present keys if an earlier version wrote it.

    A table that people wrote by hand is not changed, and an old key in it leads to an error that
    names the new one.
    """
    data = table.get("data")
    if not isinstance(data, dict) or not data.keys() >= _ALWAYS_WRITTEN:
        return dict(table)
    grouped: dict[str, Any] = {}
    for former, value in data.items():
        *groups, key = FORMER_KEYS.get(str(former), str(former)).split(".")
        place = grouped
        for group in groups:
            place = place.setdefault(group, {})
        place[key] = value
    return {**table, "data": grouped}


def identify(config: Config) -> str:
    """Return a config as the text that identifies its run, the same as in earlier versions.

    Keys that earlier versions did not have come last, and only if they differ from the default.
    """
    table = config.model_dump(exclude_none=True)
    data = table["data"]
    flat: dict[str, Any] = {}
    for former, path in FORMER_KEYS.items():
        *groups, key = path.split(".")
        place = data
        for group in groups:
            place = place[group]
        if key in place:
            flat[former] = place.pop(key)
    table["data"] = flat | _without_defaults(data, DataConfig().model_dump(exclude_none=True))
    return tomli_w.dumps(table)


def _without_defaults(table: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for key, value in table.items():
        is_group = isinstance(value, dict)
        rest = _without_defaults(value, defaults.get(key, {})) if is_group else value
        if rest != ({} if is_group else defaults.get(key)):
            changed[key] = rest
    return changed
