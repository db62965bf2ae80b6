"""The command ``tfxfer distill RUN --student NETWORK``, which teaches a small network.

This module imports TensorFlow only when it is called.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfxfer import run
from tfxfer.commands.options import check_cache
from tfxfer.config.config import Config
from tfxfer.config.presets import add_settings, load_config, parse_setting, train_everything
from tfxfer.machine import runtime
from tfxfer.records.results import RunResult
from tfxfer.report.console import make_console
from tfxfer.report.exports import print_students

# A student trains all of its blocks, because a teacher's outputs hold more information than labels,
# and small networks have few features that are worth keeping frozen.
_PHASES = (
    {"name": "head", "unfreeze": 0, "learning_rate": 3e-3},
    {"name": "distil", "unfreeze": "all", "learning_rate": 1e-3, "layer_decay": 0.85,
     "label_smoothing": 0.0},
)  # fmt: skip


def distill(
    teacher: str | Path,
    student: str,
    *,
    weights: str | Path | None = None,
    temperature: float = 2.0,
    weight: float = 0.7,
    data: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    trust: bool = False,
    quiet: bool = False,
) -> RunResult:
    """Train a small network on the labels and on the predictions of a run's model.

    The teacher's logits are computed once and stored. The student's run is one like any other: its
    config can be replayed and searched, and its model can be exported.

    Args:
        teacher: The folder of the teacher's run.
        student: A Keras Applications network at its own size, ``"hub:…"`` or ``"keras_hub:…"``.
        weights: The student's weights: ``"imagenet"`` (also None), ``"none"`` or a file.
        temperature: The temperature, 1…20, that makes the teacher's probabilities more even.
        weight: The weight of the teacher's predictions in the loss, up to 1; the rest is the
            weight of the labels.
        data: Where the run's pictures lie now; None if they lie where they were.
        settings: Other values of the student's config by dotted key, such as
            ``{"backbone.alpha": 0.35, "phases.distil.epochs": 30}``.
        out: The student's run folder; None takes ``runs/<student>-<time>``.
        overwrite: Whether an earlier run's folder is replaced when this run is done.
        trust: Whether the teacher may hold a hub module, which is a program.
        quiet: Whether nothing is printed.

    Returns:
        The result of the student's run.

    Raises:
        InputError: There is no such run, or the request cannot be carried out.

    Example:
        # "runs/birds" is the folder of a run of the preset "birds".
        result = tfxfer.distill("runs/birds", "MobileNetV3Small", weights="none")
        print(result.test.accuracy)
    """
    place = Path(teacher)
    config = make_student_config(
        place,
        student,
        weights,
        temperature=temperature,
        weight=weight,
        trust=trust,
        data=data,
        settings=settings,
    )
    folder = Path(out) if out is not None else run.default_folder(student.replace(":", "-"))
    run.check_folder(folder, overwrite, config.data.source)
    check_cache(config)
    console = make_console(quiet)
    with console.status("Starting TensorFlow"):
        runtime.import_tensorflow()
    from tfxfer.export.compare_runs import compare_runs
    from tfxfer.training.train import run_training

    result = run_training(config, folder, console, overwrite=overwrite)
    with console.status("Comparing student and teacher"):
        rows = compare_runs({"teacher": place, "student": folder}, trust)
    print_students(console, rows)
    return result


def make_student_config(
    teacher: Path,
    student: str,
    weights: str | Path | None,
    *,
    temperature: float,
    weight: float,
    trust: bool,
    data: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Config:
    """Return the config of a student: the teacher's, with another network, head and phases.

    Raises:
        InputError: There is no such run, or the settings do not fit.
    """
    run.check_run(teacher, "A teacher is")
    own: dict[str, Any] = {
        "summary": f"{student}, taught by {teacher.name}",
        "phases": [dict(phase) for phase in _PHASES],
        "features.engine": "auto",
        "data.split.train_on_validation": False,
        "search": None,
        "distillation": {
            "teacher": str(teacher),
            "temperature": temperature,
            "weight": weight,
            "trust": trust,
        },
    }
    if weights == "none":
        # A phase for the head alone would be useless on random weights.
        del own["phases"][0]
        train_everything(own)
    return load_config(
        teacher / run.CONFIG,
        data=data,
        backbone=student,
        weights=weights,
        settings=own | dict(settings or {}),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument("teacher", metavar="RUN", help="a run's folder")
    parser.add_argument("--student", required=True, metavar="NETWORK", help="the small network")
    parser.add_argument("--weights", metavar="WHAT", help="imagenet (the default), none or a file")
    parser.add_argument(
        "--temperature", type=float, default=2.0, help="evens out what the teacher says"
    )
    parser.add_argument("--weight", type=float, default=0.7, help="of the teacher, up to 1")
    parser.add_argument("--data", metavar="WHAT", help="where the run's pictures lie now")
    parser.add_argument("--out", metavar="DIR", help="the student's run folder")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run's folder")
    parser.add_argument(
        "--trust", action="store_true", help="load a hub module, which is a program"
    )
    add_settings(parser, "other values, such as backbone.alpha=0.35 phases.distil.epochs=30")


def call(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    distill(
        arguments.teacher,
        arguments.student,
        weights=arguments.weights,
        temperature=arguments.temperature,
        weight=arguments.weight,
        data=arguments.data,
        settings=dict(parse_setting(text) for text in arguments.settings),
        out=arguments.out,
        overwrite=arguments.overwrite,
        trust=arguments.trust,
    )
