"""The run folder: the only module that names what lies in it. Imports no TensorFlow."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from tfxfer.config import Config
from tfxfer.errors import InputError
from tfxfer.presets import dump_config
from tfxfer.records import RunResult

CONFIG = "config.toml"
METRICS = "metrics.json"
CLASSES = "classes.txt"
MODEL = "model.keras"
EXPORT = "export/1"
TENSORBOARD = "tensorboard"
QUARANTINE = "quarantine.json"


def default_folder(preset: str) -> Path:
    """``runs/<preset>-<date>-<time>`` below the working directory."""
    return Path("runs") / f"{Path(preset).stem}-{datetime.now():%Y%m%d-%H%M%S}"


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a run folder that is taken; `InputError` says what to do."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out must name a folder. Received: {str(folder)!r}, which is a file.")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise InputError(
                f"--out must name a new or an empty folder. Received: {str(folder)!r}, which "
                "holds files. Name another, or say --overwrite to replace it when the run is done."
            )
        if not (folder / METRICS).is_file():
            raise InputError(
                f"--overwrite replaces the folder of an earlier run. Received: {str(folder)!r}, "
                f"which holds files but no {METRICS}. Name another folder."
            )


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give a folder beside `folder` that takes its place when all went well.

    What an unfinished run wrote is removed, and an earlier run is replaced only by a finished one.
    """
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    staging.chmod(0o755)  # mkdtemp's 0700 would keep a model server of another user out
    replaced = staging.with_name(f"{staging.name}.replaced")
    try:
        yield staging
        if folder.exists():
            folder.rename(replaced)
        try:
            staging.rename(folder)
        except OSError:
            if replaced.exists():
                replaced.rename(folder)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_config(folder: Path, config: Config) -> None:
    """Write the resolved config; ``--preset <folder>/config.toml`` replays the run."""
    (folder / CONFIG).write_text(dump_config(config), encoding="utf-8")


def write_result(folder: Path, result: RunResult) -> None:
    """Write the metrics, the classes and the files that were left out."""
    (folder / CLASSES).write_text("\n".join(result.classes) + "\n", encoding="utf-8")
    _write_json(folder / METRICS, metrics_of(result))
    if result.quarantined:
        _write_json(folder / QUARANTINE, [asdict(file) for file in result.quarantined])


def metrics_of(result: RunResult) -> dict[str, Any]:
    """A run's figures as JSON values; those of a split have keys such as ``test.accuracy``."""
    figures: dict[str, Any] = {}
    for prefix, evaluation in {"val": result.validation, "test": result.test}.items():
        for key, value in asdict(evaluation).items():
            if key != "split" and value is not None:
                figures[f"{prefix}.{key}"] = value
    return figures | {
        "seconds": result.seconds,
        "phases": [asdict(phase) for phase in result.phases],
        "parameters": {
            "total": result.total_parameters,
            "backbone": result.plan.parameters,
            "trainable": {p.name: p.trainable_parameters for p in result.phases},
        },
        "pictures": result.plan.counts,
        "class_pictures": result.plan.class_counts,
        "export": {
            "pictures_compared": result.exported.pictures_compared,
            "max_difference": result.exported.max_difference,
        },
        "notes": result.plan.notes,
        "quarantined": len(result.quarantined),
        "seed": result.seed,
        "device": result.device,
        "versions": result.versions,
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
