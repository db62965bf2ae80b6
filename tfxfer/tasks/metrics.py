"""The metrics of a model on one split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    log_loss,
    recall_score,
    top_k_accuracy_score,
)

from tfxfer.records.evaluations import Evaluation
from tfxfer.records.proportions import wilson_interval
from tfxfer.tasks.labels import ClassLabels, OwnLabels, SeveralLabels

_TOP5_FROM = 21  # With at least so many classes, the top-5 accuracy is computed.


def evaluate_classes(
    split: str, labels: ClassLabels, probabilities: np.ndarray, classes: Sequence[str]
) -> Evaluation:
    """Compare predictions with the labels of items that have one each.

    Args:
        split: The name of the split.
        probabilities: ``[items, classes]``, 0…1, in the order of the labels.
        classes: The names of the classes.
    """
    numbers = list(range(probabilities.shape[1]))
    top5 = None
    if len(numbers) >= _TOP5_FROM:
        top5 = float(
            top_k_accuracy_score(labels.numbers, _normalise(probabilities), k=5, labels=numbers)
        )
    pairs = np.stack([labels.numbers, labels.predict(probabilities)], axis=1)
    cells, counts = np.unique(pairs, axis=0, return_counts=True)
    own = {
        "cross_entropy": class_cross_entropy(labels, probabilities),
        "top5_accuracy": top5,
        "confusion": tuple(map(tuple, np.column_stack([cells, counts]).tolist())),
    }
    return _evaluate(split, labels, probabilities, classes, own)


def evaluate_several(
    split: str, labels: SeveralLabels, probabilities: np.ndarray, classes: Sequence[str]
) -> Evaluation:
    """Compare predictions in the same way with the labels of items that may have several."""
    predicted = labels.predict(probabilities)
    own = {
        "cross_entropy": several_cross_entropy(labels, probabilities),
        "top5_accuracy": None,
        "confusion": None,
        "mean_average_precision": mean_average_precision(labels, probabilities),
        "micro_f1": float(f1_score(labels.rows, predicted, average="micro", zero_division=0.0)),
    }
    return _evaluate(split, labels, probabilities, classes, own)


def _evaluate(
    split: str,
    labels: OwnLabels,
    probabilities: np.ndarray,
    classes: Sequence[str],
    own: Mapping[str, Any],
) -> Evaluation:
    """Compute the metrics of both kinds of labels, and add those of one kind."""
    predicted = labels.predict(probabilities)
    present = list_present(labels, len(classes))
    f1 = f1_score(labels.truth, predicted, labels=present, average=None, zero_division=0.0)
    right = int(labels.are_right(probabilities).sum())
    return Evaluation(
        split=split,
        pictures=len(labels),
        accuracy=right / len(labels),
        accuracy_interval=wilson_interval(right, len(labels)),
        # If items may have several labels, it is possible that none has any.
        macro_f1=float(f1.mean()) if present else 0.0,
        macro_recall=macro_recall(labels, probabilities),
        per_class_f1={classes[n]: float(score) for n, score in zip(present, f1, strict=True)},
        **own,
    )


def list_present(labels: OwnLabels, class_count: int) -> list[int]:
    """Return the numbers of the classes that occur."""
    return np.flatnonzero(labels.count(class_count)).tolist()


def accuracy(labels: OwnLabels, probabilities: np.ndarray) -> float:
    """Return the share of the items that are given exactly their true labels."""
    return float(labels.are_right(probabilities).mean())


def macro_recall(labels: OwnLabels, probabilities: np.ndarray) -> float:
    """Return the mean, over the classes that occur, of the share of their items that is found.

    Each class counts the same, however few items it has: Brodersen et al. 2010, "The balanced
    accuracy and its posterior distribution".
    """
    present = list_present(labels, probabilities.shape[1])
    if not present:
        return 0.0
    predicted = labels.predict(probabilities)
    return float(
        recall_score(labels.truth, predicted, labels=present, average="macro", zero_division=0.0)
    )


def mean_average_precision(labels: SeveralLabels, probabilities: np.ndarray) -> float:
    """Return the mean, over the labels that occur, of the average precision.

    Average precision is scikit-learn's ``sum((recall_n - recall_{n-1}) · precision_n)`` over the
    thresholds n, without interpolation. If no label occurs, the result is 0.

    Args:
        probabilities: ``[items, classes]``, in the order of the labels.
    """
    present = list_present(labels, probabilities.shape[1])
    if not present:
        return 0.0
    return float(average_precision_score(labels.rows[:, present], probabilities[:, present]))


def class_cross_entropy(labels: ClassLabels, probabilities: np.ndarray) -> float:
    """Return the mean cross-entropy in nats; see `Evaluation`."""
    numbers = list(range(probabilities.shape[1]))
    return float(log_loss(labels.numbers, _normalise(probabilities), labels=numbers))


def several_cross_entropy(labels: SeveralLabels, probabilities: np.ndarray) -> float:
    """Return the mean binary cross-entropy in nats; see `Evaluation`."""
    given = probabilities.astype(np.float64).ravel()
    return float(log_loss(labels.rows.ravel(), given, labels=[0, 1]))


def _normalise(probabilities: np.ndarray) -> np.ndarray:
    """Return float64 probabilities that sum to 1 within its precision, as scikit-learn requires."""
    normalised = probabilities.astype(np.float64)
    # In an 8-bit model for several labels, all may be 0; then all classes are equally likely.
    normalised[~normalised.any(axis=1)] = 1.0
    return normalised / normalised.sum(axis=1, keepdims=True)
