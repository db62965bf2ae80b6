"""The comparison of an exported model with the trained one, and its size and latency."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median

import numpy as np
import tensorflow as tf

from tfxfer.machine.compiled import exact_float32
from tfxfer.prediction.predictor import Predictor
from tfxfer.records.exports import ExportedFormat
from tfxfer.task import Labels

# So many calls are timed, for so many seconds at most; the first ones are not counted.
_CALLS, _SECONDS, _UNCOUNTED = 30, 5.0, 2


def predict_all(predictor: Predictor, batches: Iterable[tuple[np.ndarray, np.ndarray]]):
    """Return the probabilities ``[items, classes]`` of decoded items, in order."""
    return np.concatenate([predictor.run(list(items)).probabilities for items, _ in batches])


def measure(
    name: str,
    predictor: Predictor,
    path: Path,
    *,
    dataset: tf.data.Dataset,
    labels: Labels,
    trained: np.ndarray,
) -> ExportedFormat:
    """Compare a format with the trained model.

    Args:
        name: The name of the format.
        predictor: The exported model.
        path: Its file or folder.
        dataset: Validation items from `make_evaluation_dataset`.
        labels: The labels in the order of the items.
        trained: The trained model's probabilities, ``[items, classes]`` float32.
    """
    with exact_float32():
        probabilities = predict_all(predictor, dataset.as_numpy_iterator())
    items = next(dataset.as_numpy_iterator())[0]
    batch = np.resize(items, (ExportedFormat.BATCH, *items.shape[1:]))
    return ExportedFormat(
        format=name,
        path=path,
        refused="",
        size_bytes=measure_bytes(path),
        pictures=len(labels),
        accuracy=float(labels.are_right(probabilities).mean()),
        trained_accuracy=float(labels.are_right(trained).mean()),
        agreement=float(labels.agree(probabilities, trained).mean()),
        max_difference=float(np.abs(probabilities - trained).max()),
        latency_ms=(time_calls(predictor, batch[:1]), time_calls(predictor, batch)),
    )


def time_calls(predictor: Predictor, items: np.ndarray) -> float:
    """Return the median time of a call in milliseconds."""
    batch = list(items)
    for _ in range(_UNCOUNTED):
        predictor.run(batch)
    times: list[float] = []
    while len(times) < _CALLS and sum(times) < _SECONDS:
        started = time.perf_counter()
        predictor.run(batch)
        times.append(time.perf_counter() - started)
    return 1000 * median(times)


def measure_bytes(path: Path) -> int:
    """Return the size of a file, with OpenVINO's weights, or of all files in a folder."""
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    weights = path.with_suffix(".bin") if path.suffix == ".xml" else None
    return path.stat().st_size + (weights.stat().st_size if weights else 0)
