"""The command ``tfxfer evaluate MODEL --data DATA``: the metrics of a model on new pictures.

This module imports TensorFlow only when it is called.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape

from tfxfer import run
from tfxfer.commands.options import as_source, check_new
from tfxfer.config.places import ALLOWED_SOURCES, is_address, is_among_items
from tfxfer.config.presets import add_settings, load_data_settings, parse_setting
from tfxfer.errors import InputError
from tfxfer.machine import runtime
from tfxfer.records.evaluations import EvaluationReport
from tfxfer.report.console import make_console
from tfxfer.report.evaluation import print_evaluation, write_evaluation, write_results


def evaluate(
    model: str | Path,
    data: Any,
    *,
    split: str | None = None,
    classes: str | Path | Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    predictions: str | Path | None = None,
    overwrite: bool = False,
    trust: bool = False,
    quiet: bool = False,
) -> EvaluationReport:
    """Predict labelled pictures that a model has not seen, and say how good it is on them.

    Pictures that cannot be read are left out and named. Classes are matched by their names; the
    pictures need not show all of the model's classes.

    Args:
        model: A run's folder, an exported model or the address of a served one, as in
            `load_predictor`.
        data: The data, as in `tfxfer.train`.
        split: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``; None takes the test split if
            the data have one, else all pictures.
        classes: A mapping of the data's class names to the model's, where they differ, or a TOML,
            JSON or CSV file with one; ``""`` leaves a class out.
        settings: Other values by dotted key, such as ``{"data.reading.label_column": "species"}``.
        out: A ``.json`` file for all figures.
        predictions: A ``.csv`` file with a line for each picture.
        overwrite: Whether these files are replaced if they exist.
        trust: Load a model that holds a program, as in `tfxfer.load_model`.
        quiet: Whether nothing is printed.

    Returns:
        The metrics with their intervals, and the figures of each class.

    Raises:
        InputError: The request cannot be carried out; nothing is written then.

    Example:
        # "runs/birds" is the folder of a run of the preset "birds".
        report = tfxfer.evaluate("runs/birds", data="photos/")
        print(report.evaluation.accuracy, report.intervals)
    """
    if data is None:
        raise InputError(
            "An evaluation needs labelled pictures. Received: no --data. Name what training takes: "
            f"{ALLOWED_SOURCES}. A run's own test split was read once, at its end: the figures are "
            f"in its {run.METRICS}."
        )
    data = as_source(data, lambda: load_data_settings(None, settings))
    config = load_data_settings(data, settings)
    _check_file("--out", out, ".json", overwrite, config.data.source)
    _check_file("--predictions", predictions, ".csv", overwrite, config.data.source)
    console = make_console(quiet)
    with console.status("Starting TensorFlow"):
        runtime.import_tensorflow()
    from tfxfer.evaluation.class_map import read_class_map
    from tfxfer.evaluation.evaluate import run_evaluation
    from tfxfer.prediction.load import load_predictor

    mapping = read_class_map(classes) if isinstance(classes, str | Path) else classes
    with console.status("Loading the model"):
        predictor = load_predictor(model, trust=trust)
    report, results = run_evaluation(
        predictor,
        config,
        console,
        split=split,
        mapping=mapping,
        trained_on=_find_training_source(model),
    )
    print_evaluation(console, report)
    if out is not None:
        write_evaluation(Path(out), report)
        console.print(f"wrote {escape(str(out))}", soft_wrap=True)
    if predictions is not None:
        write_results(Path(predictions), results)
        console.print(f"wrote {escape(str(predictions))}", soft_wrap=True)
    return report


def _check_file(
    option: str, path: str | Path | None, ending: str, overwrite: bool, source: str | None
) -> None:
    """Refuse a file that cannot be written, before the slow work begins."""
    if path is None:
        return
    file = Path(path)
    if file.suffix.lower() != ending or is_address(str(path)):
        raise InputError(
            f"{option} must name a file of this machine that ends in {ending}. Received: "
            f"{str(path)!r}. Name it evaluation{ending}, say."
        )
    if not file.parent.is_dir():
        raise InputError(
            f"{option} must lie in a folder that exists. Received: {str(path)!r}. Make the folder "
            "first."
        )
    check_new(option, path, overwrite)
    if is_among_items(file, source):
        raise InputError(
            f"{option} must lie outside of the folder of pictures, in which nothing is changed. "
            f"Received: {str(path)!r} in {source!r}. Name a file elsewhere."
        )


def _find_training_source(model: str | Path) -> str | None:
    """Return the source that a model was trained on, or None if the model lies in no run folder."""
    if is_address(str(model)):
        return None
    # A SavedModel lies two folders further down.
    place = Path(model).absolute()
    for folder in (place, *list(place.parents)[:2]):
        try:
            table = tomllib.loads((folder / run.CONFIG).read_text(encoding="utf-8"))
            return str(table["data"]["source"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a run's folder, a .keras file, a SavedModel, .tflite, .onnx or OpenVINO .xml file, "
        "or the address of a served model",
    )
    parser.add_argument(
        "--data", metavar="WHAT", help="labelled pictures the model has not seen, as for training"
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="all, train, validation or test; default: test where the data have it, else all",
    )
    parser.add_argument(
        "--classes",
        metavar="FILE",
        help="the model's class for each of the data's, where names differ: TOML, JSON or CSV",
    )
    add_settings(parser, "how the data are read, such as data.reading.label_column=species")
    parser.add_argument("--out", metavar="FILE", help="a .json file for all figures")
    parser.add_argument("--predictions", metavar="FILE", help="a .csv file with a line a picture")
    parser.add_argument("--overwrite", action="store_true", help="replace these files")
    parser.add_argument(
        "--trust", action="store_true", help="load a model that holds a program (hub modules)"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def call(arguments: argparse.Namespace) -> int:
    """Run the command; return 1 if pictures were left out, else 0."""
    report = evaluate(
        arguments.model,
        arguments.data,
        split=arguments.split,
        classes=arguments.classes,
        settings=dict(parse_setting(text) for text in arguments.settings),
        out=arguments.out,
        predictions=arguments.predictions,
        overwrite=arguments.overwrite,
        trust=arguments.trust,
        quiet=arguments.quiet,
    )
    return int(bool(report.left_out))
