"""The metrics of a model on one split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    f1_score,
    log_loss,
    recall_score,
    top_k_accuracy_score,
)

from tfxfer.records.evaluations import Evaluation
from tfxfer.tasks.labels import count_classes, has_several

_TOP5_FROM = 21  # Top-5 accuracy is computed from so many classes on.
_GIVEN_FROM = 0.5  # One of several labels is given from this probability on.
_Z95 = 1.959964  # This is the 97.5 % quantile of the normal distribution.


def evaluate_probabilities(
    split: str, probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> Evaluation:
    """Compare what was predicted with the labels.

    Args:
        split: The name of the split.
        probabilities: ``[pictures, classes]``, 0…1, in the order of the labels.
        labels: ``[pictures]`` class numbers, or zeros and ones ``[pictures, classes]`` where they
            have several.
        classes: The class names.
    """
    predicted = predict_labels(labels, probabilities)
    present = list_present(labels, len(classes))
    f1 = f1_score(labels, predicted, labels=present, average=None, zero_division=0.0)
    right = int(are_right(labels, probabilities).sum())
    own = _of_several if has_several(labels) else _of_one
    return Evaluation(
        split=split,
        pictures=len(labels),
        accuracy=right / len(labels),
        accuracy_interval=wilson_interval(right, len(labels)),
        # If pictures may have several labels, it is possible that none has any.
        macro_f1=float(f1.mean()) if present else 0.0,
        macro_recall=macro_recall(labels, probabilities),
        cross_entropy=cross_entropy(labels, probabilities),
        per_class_f1={classes[n]: float(score) for n, score in zip(present, f1, strict=True)},
        **own(labels, probabilities),
    )


def _of_one(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Return the metrics that only pictures with one label have."""
    numbers = list(range(probabilities.shape[1]))
    top5 = None
    if len(numbers) >= _TOP5_FROM:
        top5 = float(top_k_accuracy_score(labels, _normalise(probabilities), k=5, labels=numbers))
    counts = confusion_matrix(labels, probabilities.argmax(axis=1), labels=numbers)
    return {
        "top5_accuracy": top5,
        "confusion": tuple(tuple(map(int, row)) for row in counts),
    }


def _of_several(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Return the metrics that only pictures with several labels have."""
    predicted = predict_labels(labels, probabilities)
    return {
        "top5_accuracy": None,
        "confusion": None,
        "mean_average_precision": mean_average_precision(labels, probabilities),
        "micro_f1": float(f1_score(labels, predicted, average="micro", zero_division=0.0)),
    }


def predict_labels(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return what probabilities ``[pictures, classes]`` say, in the form that the labels have."""
    if has_several(labels):
        return (probabilities >= _GIVEN_FROM).astype(labels.dtype)
    return probabilities.argmax(axis=1)


def list_present(labels: np.ndarray, class_count: int) -> list[int]:
    """Return the numbers of the classes that occur."""
    return np.flatnonzero(count_classes(labels, class_count)).tolist()


def are_right(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return which pictures are wholly right, ``[pictures]`` bool: see `Evaluation`'s accuracy."""
    same = predict_labels(labels, probabilities) == labels
    return same.all(axis=1) if has_several(labels) else same


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the share of the pictures that are wholly right."""
    return float(are_right(labels, probabilities).mean())


def macro_recall(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean recall over the classes that occur.

    Each class counts the same, however few pictures it has: Brodersen et al. 2010, "The balanced
    accuracy and its posterior distribution".
    """
    present = list_present(labels, probabilities.shape[1])
    if not present:
        return 0.0
    predicted = predict_labels(labels, probabilities)
    return float(
        recall_score(labels, predicted, labels=present, average="macro", zero_division=0.0)
    )


def mean_average_precision(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of the average precision over the labels that occur.

    Average precision is scikit-learn's ``sum((recall_n - recall_{n-1}) · precision_n)`` over the
    thresholds n, without interpolation. If no label occurs, the result is 0.

    Args:
        labels: ``[pictures, classes]`` zeros and ones.
        probabilities: Probabilities of the same shape, 0…1.
    """
    present = list_present(labels, probabilities.shape[1])
    if not present:
        return 0.0
    return float(average_precision_score(labels[:, present], probabilities[:, present]))


def cross_entropy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean cross-entropy in nats, as in `Evaluation`."""
    if has_several(labels):
        given = probabilities.astype(np.float64).ravel()
        return float(log_loss(labels.ravel(), given, labels=[0, 1]))
    numbers = list(range(probabilities.shape[1]))
    return float(log_loss(labels, _normalise(probabilities), labels=numbers))


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson 1927), which also holds near 0 and 1.

    Args:
        successes: The number of successes.
        trials: The number of observations, at least 1.
    """
    share = successes / trials
    centre = share + _Z95**2 / (2 * trials)
    spread = _Z95 * (share * (1 - share) / trials + _Z95**2 / (4 * trials**2)) ** 0.5
    scale = 1 + _Z95**2 / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def _normalise(probabilities: np.ndarray) -> np.ndarray:
    """Return float64 probabilities that sum to 1 within its precision, as scikit-learn requires."""
    normalised = probabilities.astype(np.float64)
    # In an 8-bit model for several labels, all may be 0; then all classes are equally likely.
    normalised[~normalised.any(axis=1)] = 1.0
    return normalised / normalised.sum(axis=1, keepdims=True)
