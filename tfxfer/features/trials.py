"""The engines that earlier runs chose, so that a network is tried once on a machine."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tfxfer.cache.digest import digest
from tfxfer.cache.folder import keep_json
from tfxfer.features.engines import ENGINES, Engine, describe_engine
from tfxfer.machine import runtime

# The version is raised when engines are compared in another way.
_FOLDER, _VERSION = "engines", "1"


@dataclass(frozen=True)
class Trial:
    """The outcome of a comparison of engines.

    Attributes:
        engine: The engine that was chosen, a key of `ENGINES`.
        error: The relative difference of its features from Keras's.
        items_per_second: Its speed; None if no other engine was there to be compared with.
    """

    engine: str
    error: float
    items_per_second: float | None = None

    @classmethod
    def of(cls, engine: Engine) -> Trial:
        """Return the outcome that an engine is."""
        return cls(engine.name, engine.error, engine.items_per_second)


def place_of(cache: Path, hashes: Iterable[str], names: Iterable[str], wanted: str) -> Path:
    """Return the file that holds the outcome for some layers on this machine.

    Args:
        cache: The folder of the cache.
        hashes: The hashes of the layers below each cut.
        names: The engines that are compared.
        wanted: The engine that the config asks for.
    """
    machine = [runtime.describe_device(), str(os.cpu_count())]
    facts = [*map(_describe, names), *machine, *hashes]
    return cache / _FOLDER / f"{digest(_VERSION, wanted, *facts)}.json"


def _describe(name: str) -> str:
    try:
        return describe_engine(name)
    except Exception:  # A broken installation may raise any error.
        return f"{name}, broken"


def read_trial(file: Path) -> Trial | None:
    """Read an outcome; None if there is none, or if the file is damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        speed = found["items_per_second"]
        trial = Trial(found["engine"], float(found["error"]), speed and float(speed))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    is_known = isinstance(trial.engine, str) and trial.engine in ENGINES
    return trial if is_known and math.isfinite(trial.error) else None


def write_trial(file: Path, trial: Trial) -> None:
    """Write an outcome; if the cache cannot be written to, it is not kept."""
    keep_json(file, asdict(trial))
