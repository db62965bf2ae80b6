"""The export of a trained model in several formats, each of which is checked before it is kept."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np

from tfxfer import run
from tfxfer.data.items import ItemData, ItemSet, spread
from tfxfer.data.pipeline import make_evaluation_dataset, make_view_batches
from tfxfer.errors import InputError
from tfxfer.export.formats import FORMATS, SAVED_MODEL
from tfxfer.export.measure import measure
from tfxfer.export.saved_model import ExportMismatchError, export_saved_model
from tfxfer.export.serving_files import new_version, write_serving_files
from tfxfer.machine.compiled import compile_model, exact_float32, predict
from tfxfer.modality import InputSpec
from tfxfer.prediction.load import load_predictor
from tfxfer.records.exports import ExportedFormat

EXPORTS = "exports.json"
# Formats are compared on so many items; int8 ranges and float16 rounding use so many.
_COMPARED, _CALIBRATED_ON = 2000, 200
_BATCH = 32


@dataclass(frozen=True)
class Request:
    """What an export writes.

    Attributes:
        formats: Names of `FORMATS`, and ``"saved_model"``.
        out: The folder to write to.
        name: The name under which the SavedModel will be served.
        top_k: The number of ``labels`` that the SavedModel gives.
        max_loss: The validation accuracy, 0…1, that a format with integer arithmetic may lose.
        force: Whether a format that differs too much is kept as well.
        overwrite: Whether existing files are replaced; a SavedModel gets a new version anyway.
    """

    formats: tuple[str, ...]
    out: Path
    name: str
    top_k: int
    max_loss: float
    force: bool = False
    overwrite: bool = False


def export_model(
    model: keras.Model,
    items: ItemData,
    request: Request,
    show: Callable[[str], None] = lambda name: None,
) -> tuple[ExportedFormat, ...]:
    """Write formats, compare each with the trained model, and keep those that agree with it.

    Args:
        model: A model from items, 0…255, to probabilities.
        items: The run's items: training items calibrate integer arithmetic, and
            validation items are used for the comparison.
        request: What is written, and where.
        show: A function that is called with the name of each format before it is written.

    Returns:
        A row for each format; a refused format has no path.

    Raises:
        InputError: A file exists already.
    """
    _check_files(request)
    validation = spread(items.validation, _COMPARED)
    compared = _Compared(model, items, validation)
    rows = []
    for name in request.formats:
        show(name)
        write = _write_saved_model if name == SAVED_MODEL else _write_file
        rows.append(write(name, compared, request))
    run.write_classes(request.out, items.classes)
    _write_rows(request.out / EXPORTS, rows)
    return tuple(rows)


class _Compared:
    """A trained model with its predictions for validation items."""

    def __init__(self, model: keras.Model, items: ItemData, validation: ItemSet):
        self.model, self.items, self.validation = model, items, validation
        self.view = items.modality.plain_view(InputSpec.of(model))
        self.dataset = make_evaluation_dataset(
            validation, self.view, class_count=len(items.classes), batch_size=_BATCH
        )
        with exact_float32():
            given = (batch for batch, _ in self.dataset.as_numpy_iterator())
            self.trained = predict(compile_model(model), given)

    def measure(self, name: str, path: Path) -> ExportedFormat:
        """Load a format and compare it with the trained model."""
        predictor = load_predictor(path)
        return measure(
            name,
            predictor,
            path,
            dataset=self.dataset,
            labels=self.validation.labels,
            trained=self.trained,
        )

    def examples(self, split: str) -> Iterator[np.ndarray]:
        """Yield plain views of some items of a split, one at a time."""
        items = self.items.train if split == "train" else self.validation
        chosen = spread(items, _CALIBRATED_ON)
        for batch in make_view_batches(chosen, self.view, batch_size=_BATCH):
            yield from batch


def _write_saved_model(name: str, compared: _Compared, request: Request) -> ExportedFormat:
    classes, validation = compared.items.classes, compared.validation
    try:
        with new_version(request.out) as (staging, target):
            export_saved_model(
                compared.model, classes, staging, validation, top_k=request.top_k, name=request.name
            )
            row = replace(compared.measure(name, staging), path=target)
    except ExportMismatchError as error:
        return ExportedFormat(name, None, str(error))
    write_serving_files(request.out, request.name)
    return row


def _write_file(name: str, compared: _Compared, request: Request) -> ExportedFormat:
    form, classes = FORMATS[name], compared.items.classes
    request.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=request.out) as folder:
        staging = Path(folder)
        path = staging / form.file
        run.write_classes(staging, classes)
        try:
            form.write(compared.model, path, classes, partial(compared.examples, form.split))
            row = compared.measure(name, path)
        except InputError as error:
            return ExportedFormat(name, None, str(error))
        reason = "" if request.force else find_fault(row, form.tolerance, request.max_loss)
        if reason:
            return replace(row, path=None, refused=reason)
        for file in form.files:
            os.replace(staging / file, request.out / file)
    return replace(row, path=request.out / form.file)


def find_fault(row: ExportedFormat, tolerance: float | None, max_loss: float) -> str:
    """Return why a format differs too much from the trained model; empty if it does not."""
    loss = row.trained_accuracy - row.accuracy
    if tolerance is not None and not row.max_difference <= tolerance:
        return (
            f"its probabilities must be the trained model's to within {tolerance}. Received: a "
            f"difference of {row.max_difference:.2g}. Take another format, or --force."
        )
    if tolerance is None and loss > max_loss:
        return (
            f"it may lose {100 * max_loss:g} points of validation accuracy. Received: a loss of "
            f"{100 * loss:.1f} on {row.pictures} pictures. Take litert_dynamic or litert_float16, "
            "allow more (--max-loss), or --force."
        )
    return ""


def _check_files(request: Request) -> None:
    files = [file for name in request.formats if name in FORMATS for file in FORMATS[name].files]
    taken = [file for file in files if (request.out / file).exists()]
    if taken and not request.overwrite:
        raise InputError(
            "An export is written to new files. Received: "
            f"{', '.join(taken)} in {str(request.out)!r} already. Say --overwrite to replace them, "
            "or name another folder with --out."
        )


def _write_rows(path: Path, rows: Sequence[ExportedFormat]) -> None:
    """Write the figures, and keep those of formats that an earlier export wrote."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    names = {row.format for row in rows}
    kept = [row for row in kept if row["format"] not in names]
    own = [asdict(row) | {"path": row.path.name if row.path else None} for row in rows]
    staging = path.with_suffix(".tmp")
    staging.write_text(json.dumps([*kept, *own], indent=2) + "\n", encoding="utf-8")
    staging.replace(path)
