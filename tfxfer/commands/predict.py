"""The command ``tfxfer predict MODEL PICTURES…``, which says what pictures show.

This module imports TensorFlow only when it is called.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tfxfer.commands.options import check_file
from tfxfer.errors import InputError
from tfxfer.kinds import ENDINGS
from tfxfer.machine import runtime
from tfxfer.prediction.named import list_items
from tfxfer.prediction.rows import WRITERS, PredictedItem
from tfxfer.prediction.write_rows import Output, write_rows

if TYPE_CHECKING:
    from tfxfer.prediction.predictor import Predictor

_BATCH, _TOP_K = 32, 3
_FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def predict(
    model: str | Path | Predictor,
    pictures: str | Path | Sequence[str | Path],
    *,
    top_k: int = _TOP_K,
    probabilities: bool = False,
    embeddings: bool = False,
    batch_size: int = _BATCH,
    trust: bool = False,
) -> tuple[PredictedItem, ...]:
    """Predict pictures by the model of a run, an exported model or a served one.

    Args:
        model: A run's folder, a file or an address, as in `load_predictor`, or its result.
        pictures: A file, a folder or a pattern such as ``"photos/**/*.jpg"``, or several of them.
        top_k: The number of labels for each picture, at most that of the classes.
        probabilities: Whether rows also hold the probabilities of all classes, which takes 4 bytes
            for each class and picture.
        embeddings: Whether rows also hold the features that the head reads, which takes 4 bytes
            for each channel and picture.
        batch_size: The number of pictures that are predicted together.
        trust: Load a model that holds a program, as in `tfxfer.load_model`.

    Returns:
        A row for each picture, in order; the row of a picture that cannot be used has an ``error``.

    Raises:
        InputError: There is no such model, its server goes away, or no picture is named.

    Example:
        # "runs/birds" is the folder of a run of the preset "birds".
        for row in tfxfer.predict("runs/birds", "photos/**/*.jpg", top_k=3):
            print(row.path, row.labels, row.scores, row.error)
    """
    _check_counts(top_k, batch_size)
    named = list_items([pictures] if isinstance(pictures, str | Path) else pictures)
    predictor = _load(model, embeddings, trust)
    from tfxfer.prediction.predict_files import predict_files

    batches = predict_files(
        predictor,
        named.paths,
        top_k=top_k,
        batch_size=batch_size,
        with_probabilities=probabilities,
        with_embeddings=embeddings,
    )
    return tuple(row for batch in batches for row in batch)


def _load(model: str | Path | Predictor, embeddings: bool, trust: bool) -> Predictor:
    if not isinstance(model, str | Path):
        return model
    runtime.import_tensorflow()
    from tfxfer.prediction.load import load_predictor

    return load_predictor(model, with_embeddings=embeddings, trust=trust)


def _check_counts(top_k: int, batch_size: int) -> None:
    for name, count in {"top_k": top_k, "batch_size": batch_size}.items():
        if count < 1:
            raise InputError(
                f"{name} must be 1 or more. Received: {count}. Leave it out for "
                f"{_TOP_K if name == 'top_k' else _BATCH}."
            )


def _choose_format(form: str | None, out: str | None) -> str:
    """Return the format of the rows: ``"table"``, ``"csv"`` or ``"jsonl"``."""
    if out is None:
        return form or ("table" if sys.stdout.isatty() else "csv")
    ending = Path(out).suffix.lower()
    form = form or _FORMATS.get(ending)
    if form is None or form == "table" or ending in ENDINGS:
        raise InputError(
            f"--out must name a file that ends in {', '.join(_FORMATS)}, or any other but a "
            f"picture's with --format csv or jsonl. Received: {out!r}"
            f"{f' with --format {form}' if form else ''}. Name it predictions.csv, say."
        )
    return form


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a run's folder, a .keras file, a SavedModel, .tflite, .onnx or OpenVINO .xml file, "
        "or the address of a served model: http://HOST:8501/v1/models/NAME, grpc://HOST:8500/NAME",
    )
    parser.add_argument(
        "pictures",
        metavar="PICTURES",
        nargs="+",
        help="files, folders, patterns ('photos/**/*.jpg'), - for a list on standard input",
    )
    parser.add_argument(
        "--format",
        choices=("table", *WRITERS),
        help="default: by the ending of --out, else table in a terminal and csv elsewhere",
    )
    parser.add_argument("--out", metavar="FILE", help="write the rows there, when all are done")
    parser.add_argument(
        "--top-k", type=int, default=_TOP_K, metavar="K", help=f"labels a picture, {_TOP_K}"
    )
    parser.add_argument("--probabilities", action="store_true", help="write those of all classes")
    parser.add_argument(
        "--embeddings", metavar="FILE", help="a .npz file for what the head reads of each picture"
    )
    parser.add_argument(
        "--batch-size", type=int, default=_BATCH, metavar="N", help=f"pictures at a time, {_BATCH}"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument(
        "--trust", action="store_true", help="load a model that holds a program (hub modules)"
    )


def call(arguments: argparse.Namespace) -> int:
    """Run the command; return 1 if a picture could not be predicted, else 0."""
    _check_counts(arguments.top_k, arguments.batch_size)
    form = _choose_format(arguments.format, arguments.out)
    check_file("--out", arguments.out, arguments.overwrite)
    check_file("--embeddings", arguments.embeddings, arguments.overwrite)
    named = list_items(arguments.pictures)
    messages = Console(stderr=True, highlight=False)
    with messages.status("Loading the model"):
        predictor = _load(arguments.model, bool(arguments.embeddings), arguments.trust)
    output = Output(
        form,
        arguments.top_k,
        arguments.batch_size,
        arguments.probabilities,
        Path(arguments.out) if arguments.out else None,
        Path(arguments.embeddings) if arguments.embeddings else None,
    )
    try:
        return write_rows(predictor, named, output, messages)
    except BrokenPipeError:
        # The reader of the pipe has closed it, so Python must not write the rest when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
