"""The keys of ``[data]`` before they were grouped, and what still goes by them.

Configs that were written with them are read as ever; people who write them are told the new ones.
Runs and searches go on being named by them, so that what an earlier version began is found again.
Imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomli_w

from tfxfer.config.config import Config
from tfxfer.config.data import FORMER_KEYS, DataConfig

# What stood in [data] of every config that was written, whichever version wrote it.
_ALWAYS_WRITTEN = {"batch_size", "on_bad", "validation_fraction", "test_fraction"}


def read_former(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table of a preset or a config; one that an earlier version wrote gets the keys of today.

    What people write by hand is left as it is: a key that is gone is an error that names the new
    one.
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
    """All that a config says, as the text that names its run: the same as in earlier versions.

    Keys that earlier versions did not have come last, if they have another value than the usual.
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
