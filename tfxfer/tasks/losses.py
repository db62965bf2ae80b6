"""The losses that gradient steps minimise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tfxfer.tasks.balance import adjust_by, weigh_classes

# The logarithm of this probability, and its gradient, are finite float32 numbers.
_TINY = 1e-30


Loss = Callable[[Any, Any], Any]  # It takes targets and probabilities, both `[batch, classes]`.


def make_class_loss(balance: str, counts: Sequence[int], label_smoothing: float) -> Loss:
    """Make the loss of one label an item, with a way to balance classes of some sizes."""
    if balance == "class_weights":
        return _weighted_loss(weigh_classes(counts), label_smoothing)
    if balance == "logit_adjustment":
        return _adjusted_loss(adjust_by(counts), label_smoothing)
    return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)


def make_class_metrics() -> list[keras.metrics.Metric]:
    """Make the metrics of one label an item: ``accuracy`` and ``cross_entropy``."""
    return [
        keras.metrics.CategoricalAccuracy(name="accuracy"),
        keras.metrics.CategoricalCrossentropy(name="cross_entropy"),
    ]


def make_several_loss(label_smoothing: float) -> Loss:
    """Make the loss of several labels an item."""
    return keras.losses.BinaryCrossentropy(label_smoothing=label_smoothing)


def make_several_metrics() -> list[keras.metrics.Metric]:
    """Make the metrics of several labels an item: ``accuracy`` and ``cross_entropy``."""
    return [
        keras.metrics.MeanMetricWrapper(_are_all_right, name="accuracy"),
        keras.metrics.BinaryCrossentropy(name="cross_entropy"),
    ]


def _weighted_loss(weights: np.ndarray, label_smoothing: float) -> Loss:
    """Return a cross-entropy that weights items by their class, mixed ones by both classes."""

    def class_weighted(targets, probabilities):
        entropies = keras.losses.categorical_crossentropy(
            targets, probabilities, label_smoothing=label_smoothing
        )
        return entropies * keras.ops.sum(targets * weights, axis=-1)

    return class_weighted


def _adjusted_loss(added: np.ndarray, label_smoothing: float) -> Loss:
    """Return the cross-entropy of logits plus ``tau · log prior`` (Menon et al. 2021, equation 10).

    The head gives probabilities. Their logarithms equal its logits up to a constant, which does not
    matter to a softmax.
    """

    def logit_adjusted(targets, probabilities):
        logits = keras.ops.log(keras.ops.maximum(probabilities, _TINY)) + added
        return keras.losses.categorical_crossentropy(
            targets, logits, from_logits=True, label_smoothing=label_smoothing
        )

    return logit_adjusted


def _are_all_right(targets, probabilities):
    """Return whether exactly the true labels are given: ``[batch]`` of zeros and ones."""
    same = keras.ops.equal(targets >= 0.5, probabilities >= 0.5)
    return keras.ops.cast(keras.ops.all(same, axis=-1), "float32")
