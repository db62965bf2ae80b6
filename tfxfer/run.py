"""The run folder; only this module names its files. It imports no TensorFlow."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from tfxfer.config.config import Config
from tfxfer.config.former import identify
from tfxfer.config.places import is_among_items
from tfxfer.config.presets import dump_config
from tfxfer.errors import InputError
from tfxfer.records.results import FoldResult, FoldsResult, RunResult

CONFIG = "config.toml"
METRICS = "metrics.json"
CLASSES = "classes.txt"
MODEL = "model.keras"
EXPORT = "export/1"
TENSORBOARD = "tensorboard"
QUARANTINE = "quarantine.json"
FOLDS = "folds.json"
UNFINISHED = "unfinished.json"  # It lists the finished folds, and is removed when all are done.
# A run writes only these; --overwrite replaces nothing else.
_OWN = {CONFIG, METRICS, CLASSES, MODEL, "export", TENSORBOARD, QUARANTINE, FOLDS, UNFINISHED}
# The folders of folds, and the remains of a fold that was killed, match this.
_FOLD = re.compile(r"fold-\d+|\.fold-\d+\.\w+")


def default_folder(preset: str) -> Path:
    """Return the folder ``runs/<preset>-<date>-<time>`` below the working directory."""
    return Path("runs") / f"{Path(preset).stem}-{datetime.now():%Y%m%d-%H%M%S}"


def fold_name(fold: int) -> str:
    """Return the name of a fold's run folder inside the folder of all folds."""
    return f"fold-{fold}"


def check_folder(
    folder: Path, overwrite: bool, source: str | None, folds_of: Config | None = None
) -> None:
    """Refuse a run folder that is taken, or that lies among the items.

    Args:
        folder: The run folder.
        overwrite: Whether an earlier run in it may be replaced.
        source: The value of `DataConfig.source`.
        folds_of: The config of a run of all folds, which may continue a stopped one.

    Raises:
        InputError: The folder cannot be used.
    """
    check_place(folder, source)
    folder = folder.resolve()
    present = _list_present(folder) if folder.is_dir() else set()
    goes_on = folds_of is not None and bool(load_unfinished(folder, folds_of, overwrite))
    if present and not overwrite and not goes_on:
        raise InputError(
            f"--out must name a new or an empty folder. Received: {str(folder)!r}, which "
            "holds files. Name another, or say --overwrite to replace it when the run is done."
        )
    foreign = sorted(name for name in present if not _is_own(folder / name))
    if foreign:
        raise InputError(
            "--overwrite replaces the files of an earlier run and no others. Received: "
            f"{str(folder)!r}, which holds {', '.join(foreign[:5])}. "
            "Name another folder."
        )


def check_place(folder: Path, source: str | None) -> None:
    """Refuse a path that cannot be a folder to write to, or that lies among the items.

    Args:
        folder: The path.
        source: The value of `DataConfig.source`.

    Raises:
        InputError: The path cannot be used.
    """
    # A `Path` keeps only one of the slashes of gs://…
    if re.fullmatch(r"[a-z][a-z0-9+.-]+:", "".join(folder.parts[:1]), re.IGNORECASE):
        raise InputError(
            "--out must name a folder of this machine. Received: the address "
            f"{str(folder)!r}. Name such a folder, and copy it when the run is done."
        )
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out must name a folder. Received: {str(folder)!r}, which is a file.")
    if is_among_items(folder, source):
        raise InputError(
            "--out must lie outside of the folder of pictures, whose folders are classes. "
            f"Received: {str(folder)!r} in {source!r}. Name a folder elsewhere."
        )


def check_run(folder: Path, needs: str) -> None:
    """Refuse a folder that is not the folder of a finished run.

    Args:
        folder: The folder.
        needs: The beginning of the error's sentence, such as ``"An export needs"``.

    Raises:
        InputError: The folder lacks files of a run.
    """
    if not (folder / CONFIG).is_file() or not (folder / MODEL).is_file():
        raise InputError(
            f"{needs} a run's folder, with {CONFIG} and {MODEL}. Received: {str(folder)!r}, which "
            "has not both. Name the folder that tfxfer train has written."
        )


def _is_own(path: Path) -> bool:
    """Return whether a run wrote a path, by its name or, for a fold's folder, by its content."""
    if _FOLD.fullmatch(path.name):
        return not path.is_dir() or all(inner.name in _OWN for inner in path.iterdir())
    return path.name in _OWN


@contextmanager
def staged(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder whose contents are moved to `folder` if the block succeeds.

    The files of an unfinished run are removed, and an earlier run is replaced only by a finished
    one. A finished run is never lost: if `folder` was taken meanwhile, the run stays beside it.
    """
    folder = folder.resolve()
    exists = folder.is_dir()  # An existing folder, perhaps a mount point, is filled, not replaced.
    place = folder if exists else folder.parent
    created = [path for path in (place, *place.parents) if not path.exists()]
    place.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=place))
    staging.chmod(0o755)  # With mkdtemp's 0700, a model server of another user could not read it.
    try:
        yield staging
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        for path in created:
            with suppress(OSError):
                path.rmdir()
        raise
    if exists:
        _fill(folder, staging, overwrite)
    else:
        try:
            staging.rename(folder)
        except OSError as error:
            raise _taken(folder, staging) from error


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a temporary folder that is removed afterwards: another process writes the run."""
    with tempfile.TemporaryDirectory(prefix="tfxfer-") as folder:
        yield Path(folder)


def _list_present(folder: Path) -> set[str]:
    """Return the names in a folder, except the temporary folders of present and killed runs."""
    staging = re.compile(rf"\.{re.escape(folder.name)}\.\w{{8}}")
    return {path.name for path in folder.iterdir() if not staging.fullmatch(path.name)}


def _fill(folder: Path, staging: Path, overwrite: bool) -> None:
    """Put a finished run's files into a folder that exists, in place of an earlier run's."""
    present = _list_present(folder)
    if present and not (overwrite and all(_is_own(folder / name) for name in present)):
        raise _taken(folder, staging)
    replaced = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder))
    for name in present:
        (folder / name).rename(replaced / name)
    # The metrics come last, so that a run with metrics is complete.
    for path in sorted(staging.iterdir(), key=lambda path: path.name == METRICS):
        path.rename(folder / path.name)
    staging.rmdir()
    shutil.rmtree(replaced)


def _taken(folder: Path, staging: Path) -> InputError:
    kept = folder.with_name(f"{folder.name}-{staging.name.rsplit('.', 1)[-1]}")
    with suppress(OSError):
        staging.rename(kept)
    where = kept if kept.exists() else staging
    return InputError(
        f"--out was taken while the run was on. Received: {str(folder)!r}. "
        f"The finished run lies in {str(where)!r}."
    )


def write_config(folder: Path, config: Config) -> None:
    """Write the resolved config; ``--preset <folder>/config.toml`` replays the run."""
    (folder / CONFIG).write_text(dump_config(config), encoding="utf-8")


def write_result(folder: Path, result: RunResult) -> None:
    """Write the metrics, the classes and the files that were left out."""
    write_classes(folder, result.classes)
    if result.quarantined:
        _write_json(folder / QUARANTINE, [asdict(file) for file in result.quarantined])
    _write_json(folder / METRICS, metrics_of(result))


def write_classes(folder: Path, classes: Sequence[str]) -> None:
    """Write class names, one a line, in the order of the model's outputs."""
    (folder / CLASSES).write_text("\n".join(classes) + "\n", encoding="utf-8")


def read_classes(folder: Path) -> tuple[str, ...] | None:
    """Read the class names that `write_classes` wrote; None if there is no such file."""
    file = folder / CLASSES
    # Only a line feed ends a name; the name may hold other characters that end lines.
    return tuple(file.read_text(encoding="utf-8").split("\n")[:-1]) if file.is_file() else None


def metrics_of(result: RunResult) -> dict[str, Any]:
    """Return a run's figures as JSON values; a split's have keys such as ``test.accuracy``."""
    figures: dict[str, Any] = {}
    for prefix, evaluation in {"val": result.validation, "test": result.test}.items():
        for key, value in asdict(evaluation).items():
            if key != "split" and value is not None:
                figures[f"{prefix}.{key}"] = value
    return figures | {
        "calibration": asdict(result.calibration) if result.calibration else None,
        "seconds": result.seconds,
        "stages": result.stages | {phase.name: phase.seconds for phase in result.phases},
        "engine": result.engine,
        "engine_error": result.engine_error,
        "phases": [asdict(phase) | {"bottleneck": phase.bottleneck} for phase in result.phases],
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


def load_unfinished(
    folder: Path, config: Config, overwrite: bool = False
) -> dict[int, dict[str, str]]:
    """Return the items of each fold that a stopped call has finished; empty if there is none.

    Raises:
        InputError: The folds were trained with another config.
    """
    path = folder / UNFINISHED
    if overwrite or not path.is_file():
        return {}
    held = json.loads(path.read_text(encoding="utf-8"))
    if held["config"] != identify(config):
        raise InputError(
            "Finished folds can be completed with the config that they were trained with. "
            f"Received: {str(folder)!r}, whose folds are of another one (in {UNFINISHED}). Say "
            "--overwrite to train all folds anew, or name another folder."
        )
    return {int(fold): pictures for fold, pictures in held["folds"].items()}


def write_unfinished(folder: Path, config: Config, folds: Mapping[int, Mapping[str, str]]) -> None:
    """Write which folds are done and which items each had, so that a later call can go on."""
    staging = folder / f".{fold_name(max(folds))}.{UNFINISHED.partition('.')[0]}"
    _write_json(staging, {"config": identify(config), "folds": folds})
    staging.replace(folder / UNFINISHED)


def remove_earlier(folder: Path, keep: str) -> None:
    """Remove all files of an earlier run from a folder, except the first new fold."""
    for path in list(folder.iterdir()):
        if _is_own(path) and path.name != keep:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def load_fold(folder: Path, fold: int, split: str) -> FoldResult:
    """Read the figures of a finished fold.

    Args:
        folder: The folder of all folds.
        fold: The number of the fold, from 1.
        split: The split that the fold held out: ``"test"`` or ``"validation"``.
    """
    path = folder / fold_name(fold)
    metrics = json.loads((path / METRICS).read_text(encoding="utf-8"))
    prefix = {"test": "test", "validation": "val"}[split]
    pictures, accuracy, macro_f1 = (
        metrics[f"{prefix}.{key}"] for key in ("pictures", "accuracy", "macro_f1")
    )
    return FoldResult(fold, path, pictures, accuracy, macro_f1, metrics["seconds"])


def write_folds(folder: Path, config: Config, result: FoldsResult) -> None:
    """Write the figures of all folds; ``--preset <folder>/config.toml`` replays them all."""
    write_config(folder, config)
    summary = {
        "split": result.split,
        "accuracy": {"mean": result.accuracy_mean, "sd": result.accuracy_sd},
        "macro_f1": {"mean": result.macro_f1_mean, "sd": result.macro_f1_sd},
        "pooled_accuracy": result.pooled_accuracy,
        "pooled_interval": result.pooled_interval,
        "seconds": result.seconds,
        "folds": [asdict(fold) | {"path": fold.path.name} for fold in result.folds],
    }
    _write_json(folder / FOLDS, summary)
    (folder / UNFINISHED).unlink()
    for path in folder.glob(".fold-*"):
        shutil.rmtree(path, ignore_errors=True)


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
