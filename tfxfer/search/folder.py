"""The folder of a search; only this module names its files. It imports no TensorFlow."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tfxfer.config.config import Config
from tfxfer.config.former import identify
from tfxfer.config.presets import dump_config
from tfxfer.errors import InputError
from tfxfer.records.searches import SearchResult, Trial
from tfxfer.run import check_place

# KerasTuner reads from this environment variable which of a search's processes this one is.
ROLE = "KERASTUNER_TUNER_ID"
ASKED = "asked.json"  # It holds the request: a later call must ask for the same to go on.
ASKED_CONFIG = "asked.toml"
TRIALS = "trials"
LOCKS = "processes"
BEST = "best"
CONFIG = "best.toml"
RESULT = "search.json"
STATE = "state.npz"  # It holds the training state at the end of a rung of Hyperband.
FIGURES = ("depth.png", "parallel.png", "time.png")
_TRIAL = "trial.result.json"
_OWN = {ASKED, ASKED_CONFIG, TRIALS, LOCKS, BEST, CONFIG, RESULT, *FIGURES}


def check_folder(folder: Path, config: Config, asked: Mapping[str, Any], overwrite: bool) -> bool:
    """Make the folder of a search, or go on in it.

    Args:
        folder: The folder.
        config: The config that is varied.
        asked: The other settings that decide the result.
        overwrite: Whether an earlier search is removed from the folder.

    Returns:
        Whether the folder is new.

    Raises:
        InputError: The folder holds other files, or another search.
    """
    check_place(folder, config.data.source)
    inside = folder.iterdir() if folder.is_dir() else ()
    present = {path.name for path in inside if not path.name.startswith(".")}
    if present - _OWN or (present and ASKED not in present):
        raise InputError(
            "--out must name a new folder, an empty one, or that of a search. Received: "
            f"{str(folder)!r}, which holds {', '.join(sorted(present)[:5])}. Name another one."
        )
    if overwrite:
        for name in present:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ASKED
    asked = {"config": identify(config), **asked}
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [key for key in asked if before.get(key) != asked[key]]
        if changed:
            raise InputError(
                "A search goes on with what it was begun with. Received: "
                f"{str(folder)!r}, which was begun with another {', '.join(changed)}. Say "
                "--overwrite to search anew, or name another folder."
            )
    else:
        (folder / ASKED_CONFIG).write_text(dump_config(config), encoding="utf-8")
        write_json(path, asked | {"started": time.time()})
    return is_new


def remove_unused(folder: Path) -> None:
    """Remove the folder of a search in which no trial has ended."""
    if not load_trials(folder):
        shutil.rmtree(folder)


def load_start(search: Path) -> float:
    """Return when a search began, in seconds since 1970."""
    return json.loads((search / ASKED).read_text(encoding="utf-8"))["started"]


def trial_folder(search: Path, number: int) -> Path:
    """Return the folder of a trial's outcome; trial 0 is the head alone."""
    return search / TRIALS / f"outcome_{number:04d}"


def write_trial(place: Path, trial: Trial) -> None:
    """Write a trial's outcome, completely or not at all."""
    write_json(place / _TRIAL, asdict(trial))


def find_trial(place: Path) -> Trial | None:
    """Return a trial's outcome, or None if it has none."""
    return load_trial(place) if (place / _TRIAL).is_file() else None


def load_trial(place: Path) -> Trial:
    """Read a trial's outcome."""
    held = json.loads((place / _TRIAL).read_text(encoding="utf-8"))
    return Trial(**held | {"interval": tuple(held["interval"])})


def load_trials(search: Path) -> list[Trial]:
    """Read the outcomes of all trials, in the order of their proposals."""
    places = sorted((search / TRIALS).glob(f"outcome_*/{_TRIAL}"))
    return [load_trial(path.parent) for path in places]


def count_open(search: Path) -> int:
    """Return the number of trials that were proposed and have no outcome yet."""
    proposed = len(list((search / TRIALS).glob("trial_*/trial.json")))
    return proposed - sum(trial.number > 0 for trial in load_trials(search))


def remove_states(search: Path) -> None:
    """Remove the states that short rungs left for longer ones, which would now begin anew."""
    for path in (search / TRIALS).glob(f"outcome_*/{STATE}"):
        path.unlink()


def write_best(search: Path, config: Config) -> None:
    """Write the winner's config, which `tfxfer train --preset` takes."""
    _put(search / CONFIG, dump_config(config))


def write_result(result: SearchResult) -> None:
    """Write the result of a search."""
    best = result.best
    write_json(
        result.path / RESULT,
        {
            "objective": result.objective,
            "verdict": result.verdict,
            "is_complete": result.is_complete,
            "seconds": result.seconds,
            "best": {
                "config": CONFIG,
                "run": BEST,
                "val.accuracy": best.validation.accuracy,
                "test.accuracy": best.test.accuracy,
                "test.accuracy_interval": best.test.accuracy_interval,
            },
            "trials": [asdict(trial) for trial in result.trials],
        },
    )


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, completely or not at all."""
    _put(path, json.dumps(value, indent=1))


def _put(path: Path, text: str) -> None:
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    staging.write_text(text, encoding="utf-8")
    staging.replace(path)


CHIEF = "chief"
