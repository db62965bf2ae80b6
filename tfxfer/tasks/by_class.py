"""The figures of each class, the results of each picture, and notes about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tfxfer.records.evaluations import ClassFigures, PictureResult
from tfxfer.tasks.labels import count_classes, has_several
from tfxfer.tasks.metrics import are_right, predict_labels, wilson_interval

_SHOWN = 20
# Probabilities of one label sum to 1 up to this, because they may be rounded to 8 bits.
_SUM_TOLERANCE = 0.05


def list_figures(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> tuple[ClassFigures, ...]:
    """Return counts, recall and precision of each class that occurs, in the order of the classes.

    Args:
        labels: ``[pictures]`` class numbers, or zeros and ones ``[pictures, classes]``.
        probabilities: ``[pictures, classes]``.
    """
    given = predict_labels(labels, probabilities)
    right = given * labels if has_several(labels) else labels[given == labels]
    counts = [count_classes(each, len(classes)).tolist() for each in (labels, given, right)]
    return tuple(
        ClassFigures(
            name=name,
            pictures=true,
            predicted=predicted,
            right=found,
            f1=2 * found / (true + predicted),
            recall=found / true,
            recall_interval=wilson_interval(found, true),
            precision=found / predicted if predicted else None,
            precision_interval=wilson_interval(found, predicted) if predicted else None,
        )
        for name, true, predicted, found in zip(classes, *counts, strict=True)
        if true
    )


def list_results(
    places: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> Iterator[PictureResult]:
    """Yield the result of each picture, in order.

    Args:
        places: Where each picture lies.
        labels, probabilities: The same as in `list_figures`.
    """
    right = are_right(labels, probabilities)
    given = predict_labels(labels, probabilities)
    for row, place in enumerate(places):
        true, predicted = (_name(each, classes) for each in (labels[row], given[row]))
        yield PictureResult(
            place, true, predicted, float(probabilities[row].max()), bool(right[row])
        )


def _name(label: np.ndarray, classes: Sequence[str]) -> tuple[str, ...]:
    """Return the name of a class number, or the names of a row of zeros and ones."""
    numbers = np.flatnonzero(label).tolist() if label.ndim else [int(label)]
    return tuple(classes[number] for number in numbers)


def note_mismatches(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> list[str]:
    """Return notes for the user if the model and the pictures do not match.

    Args:
        labels, probabilities: The same as in `list_figures`.
    """
    notes = []
    counts = count_classes(labels, len(classes))
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if absent:
        more = f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
        notes.append(
            f"there are no pictures of {len(absent)} of the model's {len(classes)} classes "
            f"({', '.join(absent[:_SHOWN])}{more}); averages are over the others"
        )
    sums = probabilities.sum(axis=1, dtype=np.float64)
    gives_one = bool((np.abs(sums - 1) < _SUM_TOLERANCE).all())
    if has_several(labels) and gives_one:
        notes.append(
            "pictures have several labels, and the model's probabilities sum to 1: it was made "
            "for one"
        )
    elif not has_several(labels) and not gives_one:
        notes.append(
            "the model's probabilities do not sum to 1, as of one that gives several labels: the "
            "most probable class counts as what it says"
        )
    return notes
