"""The command ``tfxfer export RUN``, which writes a run's model for servers and devices.

This module imports TensorFlow only when it is called.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfxfer import run
from tfxfer.config.presets import add_settings, load_config, parse_setting
from tfxfer.errors import InputError
from tfxfer.export.names import check_name, default_name
from tfxfer.machine import runtime
from tfxfer.records.exports import ExportedFormat
from tfxfer.report.console import make_console
from tfxfer.report.exports import print_exports

# A format with integer arithmetic may lose so much validation accuracy.
MAX_LOSS = 0.015


def export_run(
    folder: str | Path,
    formats: Sequence[str] = ("saved_model",),
    *,
    out: str | Path | None = None,
    data: str | Path | None = None,
    name: str | None = None,
    top_k: int = 5,
    max_loss: float = MAX_LOSS,
    force: bool = False,
    overwrite: bool = False,
    trust: bool = False,
    settings: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> tuple[ExportedFormat, ...]:
    """Write a run's model in several formats, and compare each with it on validation pictures.

    ``saved_model`` becomes the next version below `out`, which appears only when it is complete,
    with warm-up requests and the settings of TensorFlow Serving beside it. The other formats are
    files: ``litert_float32``, ``litert_float16``, ``litert_dynamic``, ``litert_int8`` (``litert``
    means all four), ``onnx`` and ``openvino``; ``all`` means every format.

    Args:
        folder: The run's folder.
        formats: The names of the formats.
        out: The folder to write to; None takes ``export`` in the run's folder.
        data: Where the run's pictures lie now; None if they lie where they were. Other pictures of
            the same classes are possible, too.
        name: The name under which the model will be served; None takes the run folder's name
            without date and time.
        top_k: The number of labels in the SavedModel's ``labels`` and ``scores``.
        max_loss: The validation accuracy, 0…1, that ``litert_dynamic`` and ``litert_int8`` may
            lose; if they lose more, they are not kept.
        force: Whether formats that differ too much are kept as well.
        overwrite: Whether existing files are replaced.
        trust: Load a model that holds a program, as in `tfxfer.load_model`.
        settings: Other values of the run's config by dotted key, for how its data are read.
        quiet: Whether nothing is printed.

    Returns:
        A row for each format; the row of a refused format has no path, and says why.

    Raises:
        InputError: There is no such run or format, a package is missing or does not fit others, or
            the pictures are missing or have other classes.

    Example:
        # "runs/birds" is the folder of a run of the preset "birds".
        for row in tfxfer.export_run("runs/birds", ["saved_model", "litert_float16"]):
            print(row.format, row.path, row.accuracy, row.latency_ms)
    """
    place = Path(folder)
    run.check_run(place, "An export needs")
    config = load_config(place / run.CONFIG, data=data, settings=settings)
    target = Path(out) if out is not None else place / "export"
    run.check_place(target, config.data.source)
    if top_k < 1 or not 0 <= max_loss <= 1:
        raise InputError(
            "--top-k must be 1 or more, and --max-loss a fraction in 0…1. Received: "
            f"{top_k} and {max_loss}. Leave them out for 5 and {MAX_LOSS}."
        )
    if name is not None:
        check_name(name)
    console = make_console(quiet)
    with console.status("Starting TensorFlow"):
        runtime.import_tensorflow()
    from tfxfer.export.export_model import Request, export_model
    from tfxfer.export.formats import check_packages, resolve_formats
    from tfxfer.export.jax_program import check_readable
    from tfxfer.machine.processes import ALONE
    from tfxfer.prediction.run_model import check_same_classes, load_model
    from tfxfer.training.job import load_items

    names = resolve_formats(formats)
    check_packages(names)
    check_readable()
    request = Request(names, target, name or default_name(place), top_k, max_loss, force, overwrite)
    model = load_model(place, trust)
    try:
        items = load_items(config, console, share=ALONE)
    except InputError as error:
        error.add_note(
            "An export is compared on pictures of the run's classes: where they lie elsewhere "
            "now, name them with --data."
        )
        raise
    check_same_classes(place, items.classes)
    with console.status("Exporting") as status:
        rows = export_model(model, items, request, lambda each: status.update(f"Exporting {each}"))
    print_exports(console, rows)
    return rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument("folder", metavar="RUN", help="a run's folder")
    parser.add_argument(
        "--format",
        dest="formats",
        nargs="+",
        default=["saved_model"],
        metavar="NAME",
        help="saved_model (the default), litert_float32, litert_float16, litert_dynamic, "
        "litert_int8, onnx, openvino; litert: all four; all: every one",
    )
    parser.add_argument("--out", metavar="DIR", help="default: export/ in the run's folder")
    parser.add_argument("--data", metavar="WHAT", help="where the run's pictures lie now")
    parser.add_argument("--name", help="under which the model will be served")
    parser.add_argument("--top-k", type=int, default=5, metavar="K", help="labels a picture")
    parser.add_argument(
        "--max-loss",
        type=float,
        default=MAX_LOSS,
        metavar="SHARE",
        help=f"accuracy that whole numbers may cost (default {MAX_LOSS})",
    )
    parser.add_argument("--force", action="store_true", help="keep what differs too much as well")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument(
        "--trust", action="store_true", help="load a hub module, which is a program"
    )
    add_settings(parser, "how the data are read, such as data.reading.label_column=species")


def call(arguments: argparse.Namespace) -> int:
    """Run the command; return 1 if a format was refused, else 0."""
    rows = export_run(
        arguments.folder,
        arguments.formats,
        out=arguments.out,
        data=arguments.data,
        name=arguments.name,
        top_k=arguments.top_k,
        max_loss=arguments.max_loss,
        force=arguments.force,
        overwrite=arguments.overwrite,
        trust=arguments.trust,
        settings=dict(parse_setting(text) for text in arguments.settings),
    )
    return int(any(row.path is None for row in rows))
