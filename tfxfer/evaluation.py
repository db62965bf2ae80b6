"""How good a model is on one split."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import confusion_matrix, f1_score, log_loss, top_k_accuracy_score

from tfxfer.records import Evaluation

_TOP5_FROM = 21  # classes
_Z95 = 1.959964  # 97.5 % quantile of the normal distribution


def evaluate(
    model: keras.Model,
    split: str,
    dataset: tf.data.Dataset,
    labels: np.ndarray,
    classes: Sequence[str],
) -> Evaluation:
    """Predict every picture of a split once and compare with the labels.

    Args:
        model: from pictures to probabilities ``[batch, classes]``.
        split: the split's name.
        dataset: as `make_evaluation_dataset` makes it.
        labels: ``[pictures]`` class numbers in the order of the dataset.
        classes: class names.
    """
    probabilities = model.predict(dataset, verbose=0)
    predicted = probabilities.argmax(axis=1)
    numbers = list(range(len(classes)))
    present = sorted(set(labels.tolist()))
    f1 = f1_score(labels, predicted, labels=present, average=None, zero_division=0.0)
    right = int((predicted == labels).sum())
    normalised = probabilities.astype(np.float64)
    normalised /= normalised.sum(axis=1, keepdims=True)
    return Evaluation(
        split=split,
        pictures=len(labels),
        accuracy=right / len(labels),
        accuracy_interval=wilson_interval(right, len(labels)),
        macro_f1=float(f1.mean()),
        top5_accuracy=(
            float(top_k_accuracy_score(labels, normalised, k=5, labels=numbers))
            if len(classes) >= _TOP5_FROM
            else None
        ),
        cross_entropy=float(log_loss(labels, normalised, labels=numbers)),
        per_class_f1={classes[n]: float(score) for n, score in zip(present, f1, strict=True)},
        confusion=tuple(
            tuple(map(int, row)) for row in confusion_matrix(labels, predicted, labels=numbers)
        ),
    )


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927), which holds near 0 and 1 too.

    Args:
        successes: how many of the trials succeeded.
        trials: at least 1.
    """
    share = successes / trials
    centre = share + _Z95**2 / (2 * trials)
    spread = _Z95 * (share * (1 - share) / trials + _Z95**2 / (4 * trials**2)) ** 0.5
    scale = 1 + _Z95**2 / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
