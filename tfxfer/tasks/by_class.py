"""The figures of each class, the results of each item, and notes about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tfxfer.records.evaluations import ClassFigures, ItemResult
from tfxfer.records.proportions import wilson_interval
from tfxfer.tasks.labels import OwnLabels

_SHOWN = 20
# Probabilities of one label sum to 1 up to this, because they may be rounded to 8 bits.
_SUM_TOLERANCE = 0.05


def list_figures(
    labels: OwnLabels, probabilities: np.ndarray, classes: Sequence[str]
) -> tuple[ClassFigures, ...]:
    """Return counts, recall and precision of each class that occurs, in the order of the classes.

    Args:
        labels: The labels of the items.
        probabilities: ``[items, classes]``, in the order of the labels.
    """
    compared = (labels, labels.given(probabilities), labels.found(probabilities))
    counts = [each.count(len(classes)).tolist() for each in compared]
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
    places: Sequence[str], labels: OwnLabels, probabilities: np.ndarray, classes: Sequence[str]
) -> Iterator[ItemResult]:
    """Yield the result of each item, in order.

    Args:
        places: Where each item lies.
        labels: The labels of the items.
        probabilities: ``[items, classes]``, in the order of the labels.
    """
    right = labels.are_right(probabilities)
    true = labels.list_numbers()
    given = labels.given(probabilities).list_numbers()
    for row, place in enumerate(places):
        yield ItemResult(
            place,
            tuple(classes[number] for number in true[row]),
            tuple(classes[number] for number in given[row]),
            float(probabilities[row].max()),
            bool(right[row]),
        )


def note_absent(labels: OwnLabels, classes: Sequence[str]) -> list[str]:
    """Say which of a model's classes no item has."""
    counts = labels.count(len(classes))
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if not absent:
        return []
    more = f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
    return [
        f"there are no pictures of {len(absent)} of the model's {len(classes)} classes "
        f"({', '.join(absent[:_SHOWN])}{more}); averages are over the others"
    ]


def gives_one_label(probabilities: np.ndarray) -> bool:
    """Return whether each item's probabilities sum to 1, as those of a model for one label do."""
    sums = probabilities.sum(axis=1, dtype=np.float64)
    return bool((np.abs(sums - 1) < _SUM_TOLERANCE).all())
