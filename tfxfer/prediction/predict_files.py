"""From files to what a model says of each, several at a time, in their order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from tfxfer.data.places import read_bytes
from tfxfer.prediction.predictor import Prediction, PredictionError, Predictor
from tfxfer.prediction.rows import PredictedPicture

BATCH = 32
# Files that are read and decoded at the same time, and held until their batch is full.
_HELD = 2 * BATCH


@dataclass(frozen=True)
class _Prepared:
    """A file as a model takes it, or why it cannot."""

    path: str
    item: Any = None
    error: str = ""


def predict_files(
    predictor: Predictor,
    paths: Iterable[str],
    top_k: int,
    batch_size: int = BATCH,
    show: Callable[[int], None] = lambda done: None,
) -> Iterator[PredictedPicture]:
    """Predict files as they come; one that cannot be used gives a row that says why.

    Args:
        top_k: labels a picture; no more than there are classes.
        batch_size: pictures that are predicted together.
        show: is told how many more are done, now and then.
    """
    count = min(top_k, len(predictor.classes))
    waiting: list[_Prepared] = []
    usable = 0
    for prepared in _prepare_each(predictor, paths):
        waiting.append(prepared)
        usable += not prepared.error
        if usable == batch_size or len(waiting) == 4 * batch_size:
            yield from _predict(predictor, waiting, count)
            show(len(waiting))
            waiting, usable = [], 0
    yield from _predict(predictor, waiting, count)
    show(len(waiting))


def _prepare_each(predictor: Predictor, paths: Iterable[str]) -> Iterator[_Prepared]:
    def prepare(path: str) -> _Prepared:
        try:
            return _Prepared(path, predictor.prepare(read_bytes(path)))
        except OSError as error:
            return _Prepared(path, error=f"cannot be read ({error.strerror or error})")
        except PredictionError as error:
            return _Prepared(path, error=str(error))

    remaining = iter(paths)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while window := list(islice(remaining, _HELD)):
            yield from pool.map(prepare, window)


def _predict(
    predictor: Predictor, prepared: list[_Prepared], count: int
) -> Iterator[PredictedPicture]:
    """Rows of some files, in their order."""
    usable = [each for each in prepared if not each.error]
    said = iter(_run(predictor, [each.item for each in usable]))
    for each in prepared:
        outcome = None if each.error else next(said)
        if isinstance(outcome, Prediction):
            yield _make_row(predictor, each.path, outcome, count)
        else:
            yield PredictedPicture(each.path, error=each.error or str(outcome))


def _run(predictor: Predictor, items: list[Any]) -> list[Prediction | PredictionError]:
    """A prediction for each picture; those of a batch that fails are tried one by one."""
    if not items:
        return []
    try:
        return _split(predictor.run(items))
    except PredictionError as error:
        if len(items) == 1:
            return [error]
        return [outcome for item in items for outcome in _run(predictor, [item])]


def _split(prediction: Prediction) -> list[Prediction | PredictionError]:
    embeddings = prediction.embeddings
    return [
        Prediction(row, None if embeddings is None else embeddings[number])
        for number, row in enumerate(prediction.probabilities)
    ]


def _make_row(
    predictor: Predictor, path: str, prediction: Prediction, count: int
) -> PredictedPicture:
    probabilities = prediction.probabilities
    best = np.argsort(-probabilities, kind="stable")[:count]
    return PredictedPicture(
        path=path,
        labels=tuple(predictor.classes[number] for number in best),
        scores=tuple(float(probabilities[number]) for number in best),
        probabilities=probabilities,
        embedding=prediction.embeddings,
    )
