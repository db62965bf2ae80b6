"""The prediction of files, batch by batch and in order, with one row for each file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfxfer.errors import InputError
from tfxfer.machine.files import read_bytes
from tfxfer.prediction.predictor import Prediction, PredictionError, Predictor
from tfxfer.prediction.rows import PredictedItem
from tfxfer.prediction.threads import in_threads

# Rows are returned after so many batches' worth of files, even if most of these are bad.
_LONGEST = 4


def predict_files(
    predictor: Predictor,
    paths: Sequence[str],
    *,
    top_k: int,
    batch_size: int,
    with_probabilities: bool = False,
    with_embeddings: bool = False,
) -> Iterator[list[PredictedItem]]:
    """Predict files; the row of a file that cannot be used says why.

    Several threads read and decode only two batches ahead, so that memory does not grow with the
    number of files.

    Args:
        predictor: The model.
        paths: The files.
        top_k: The number of labels for each item, at most that of the classes.
        batch_size: The number of items that are predicted together.
        with_probabilities: Whether rows hold the probabilities of all classes.
        with_embeddings: Whether rows hold embeddings.

    Returns:
        An iterator over lists of rows: one row for each path, in the order of the paths.

    Raises:
        InputError: A server is gone, or the model was loaded without embeddings.
    """
    prepare = _make_prepare(predictor)
    make_row = _make_maker(predictor, top_k, with_probabilities, with_embeddings)
    waiting: list[tuple[str, Any]] = []
    usable = 0
    prepared = in_threads(prepare, iter(paths), ahead=2 * batch_size)
    for path, item in zip(paths, prepared, strict=True):
        waiting.append((path, item))
        usable += not isinstance(item, Exception)
        if usable == batch_size or len(waiting) == _LONGEST * batch_size:
            yield _predict(predictor, waiting, make_row)
            waiting, usable = [], 0
    if waiting:
        yield _predict(predictor, waiting, make_row)


def _make_prepare(predictor: Predictor) -> Callable[[str], Any]:
    def prepare(path: str) -> Any:
        try:
            return predictor.prepare(read_bytes(path))
        except OSError as error:
            reason = error.strerror or str(error)
        except ValueError:  # The name holds a zero byte, for example.
            reason = "no file can have this name"
        raise PredictionError(f"cannot be read ({reason})")

    return prepare


def _predict(
    predictor: Predictor,
    waiting: Sequence[tuple[str, Any]],
    make_row: Callable[[str, Prediction], PredictedItem],
) -> list[PredictedItem]:
    items = [item for _, item in waiting if not isinstance(item, Exception)]
    outcomes = iter(_run(predictor, items))
    rows = []
    for path, item in waiting:
        outcome = item if isinstance(item, Exception) else next(outcomes)
        if isinstance(outcome, Prediction):
            rows.append(make_row(path, outcome))
        else:
            rows.append(PredictedItem(path, error=str(outcome)))
    return rows


def _run(predictor: Predictor, items: Sequence[Any]) -> list[Prediction | PredictionError]:
    """Return the outcome for each item; items of a failed batch are tried one by one."""
    if not items:
        return []
    try:
        batch = predictor.run(items)
    except PredictionError as error:
        if len(items) == 1:
            return [error]
        return [outcome for item in items for outcome in _run(predictor, [item])]
    vectors = [None] * len(items) if batch.embeddings is None else batch.embeddings
    return [Prediction(*pair) for pair in zip(batch.probabilities, vectors, strict=True)]


def _make_maker(
    predictor: Predictor, top_k: int, with_probabilities: bool, with_embeddings: bool
) -> Callable[[str, Prediction], PredictedItem]:
    count = min(top_k, len(predictor.classes))

    def make(path: str, prediction: Prediction) -> PredictedItem:
        probabilities = np.asarray(prediction.probabilities, np.float32)
        if not np.isfinite(probabilities).all():
            return PredictedItem(path, error="the model gives no numbers for it (NaN)")
        if with_embeddings and prediction.embeddings is None:
            raise InputError(
                "Embeddings are given by a model that was loaded with them. Received: "
                f"{predictor.name!r}, loaded without. Load it with with_embeddings=True."
            )
        best = np.argsort(-probabilities, kind="stable")[:count]
        return PredictedItem(
            path=path,
            labels=tuple(predictor.classes[number] for number in best),
            scores=tuple(float(probabilities[number]) for number in best),
            # Arrays are copied, because a view of one row would keep the whole batch in memory.
            probabilities=probabilities.copy() if with_probabilities else None,
            embedding=np.array(prediction.embeddings, np.float32) if with_embeddings else None,
        )

    return make
