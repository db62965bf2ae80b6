"""The prediction of all items of a set, in batches that several threads prepare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tfxfer.data.items import FileSet, ItemSet, untuned
from tfxfer.machine.files import read_bytes
from tfxfer.prediction.predictor import PredictionError, Predictor
from tfxfer.prediction.threads import _AHEAD, BATCH_SIZE, in_threads
from tfxfer.records.plans import BadFile


def predict_set(
    predictor: Predictor,
    items: ItemSet,
    show: Callable[[int], None] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray, tuple[BadFile, ...]]:
    """Predict every item of a set; the memory that this takes does not depend on their number.

    Args:
        predictor: The model.
        items: The items.
        show: A function that is called after each batch with the number of finished items.

    Returns:
        The probabilities ``[predicted, classes]`` float32; the places in the set of the items
        that were predicted, ``[predicted]`` int64; and the items that could not be read or
        prepared.

    Raises:
        PredictionError: A batch could not be predicted.
    """
    where = items.where()
    probabilities = [np.zeros((0, len(predictor.classes)), np.float32)]
    rows: list[int] = []
    bad: list[BadFile] = []
    batch: list[Any] = []

    def flush(done: int) -> None:
        if batch:
            probabilities.append(predictor.run(batch).probabilities)
            batch.clear()
        show(done)

    for row, prepared in enumerate(_prepare_all(predictor, items)):
        if isinstance(prepared, PredictionError | OSError):
            bad.append(BadFile(where[row], _reason(prepared)))
            continue
        rows.append(row)
        batch.append(prepared)
        if len(batch) == BATCH_SIZE:
            flush(row + 1)
    flush(len(where))
    return np.concatenate(probabilities), np.array(rows, np.int64), tuple(bad)


def _prepare_all(predictor: Predictor, items: ItemSet) -> Iterator[Any]:
    """Yield each item prepared for the predictor, or the error that says why it cannot be."""
    prepare = predictor.prepare
    if isinstance(items, FileSet):
        # Files are read one by one, because a missing one must not stop the others.
        yield from in_threads(lambda path: prepare(read_bytes(path)), iter(items.paths))
    else:
        encoded = untuned(items.encoded().map(lambda encoded, _: encoded).prefetch(_AHEAD))
        yield from in_threads(prepare, map(bytes, encoded.as_numpy_iterator()))


def _reason(error: Exception) -> str:
    return f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
