"""What gradient steps minimise, and what their epochs are chosen by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tfxfer.data.items import PictureData
from tfxfer.data.labels import count_classes
from tfxfer.errors import InputError
from tfxfer.evaluation import accuracy, macro_recall, mean_average_precision
from tfxfer.phases.balance import adjust_by, weigh_classes

# A function from labels and probabilities to a score in 0…1, by its name in `CRITERIA`.
SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "macro_recall": macro_recall,
    "mean_average_precision": mean_average_precision,
}
# Smallest probability whose logarithm and its gradient are finite float32 numbers.
_TINY = 1e-30

Loss = Callable[[Any, Any], Any]  # of targets and probabilities `[batch, classes]`


@dataclass(frozen=True)
class Objective:
    """What training is after, the same in all phases of a run.

    Attributes:
        has_several: pictures may have several labels, or none.
        balance: `data.balance`.
        counts: training pictures of each class; only balancing reads them.
        keeps_last: validation pictures are trained on, and choose nothing.
    """

    has_several: bool = False
    balance: str = "none"
    counts: tuple[int, ...] = ()
    keeps_last: bool = False

    @property
    def chosen_by(self) -> str:
        """The metric on validation that chooses epochs and penalties, of `CRITERIA`."""
        if self.has_several:
            return "mean_average_precision"
        return "accuracy" if self.balance == "none" else "macro_recall"

    @property
    def draws_evenly(self) -> bool:
        """Whether each class is as likely as any other to be drawn."""
        return self.balance == "sampling"

    def score(self, labels: np.ndarray, probabilities: np.ndarray) -> float:
        """How good probabilities ``[pictures, classes]`` are by `chosen_by`, in 0…1."""
        return SCORES[self.chosen_by](labels, probabilities)


# One label a picture, and classes as they are.
PLAIN = Objective()


def make_objective(pictures: PictureData, balance: str, keeps_last: bool = False) -> Objective:
    """What training on some pictures is after.

    Raises:
        InputError: classes cannot be balanced, since pictures have several labels.
    """
    if pictures.has_several and balance != "none":
        raise InputError(
            "balance needs one label a picture: a picture with several belongs to small classes "
            f"and to large ones at once. Received: data.balance={balance!r} with "
            f"{pictures.source!r}, whose pictures may have several. Take data.balance='none'."
        )
    counts = count_classes(pictures.train.labels, len(pictures.classes))
    return Objective(pictures.has_several, balance, tuple(map(int, counts)), keeps_last)


def make_loss(objective: Objective, label_smoothing: float) -> Loss:
    """The loss of gradient steps, from targets and probabilities ``[batch, classes]``."""
    if objective.has_several:
        return keras.losses.BinaryCrossentropy(label_smoothing=label_smoothing)
    if objective.balance == "class_weights":
        return _weighted_loss(weigh_classes(objective.counts), label_smoothing)
    if objective.balance == "logit_adjustment":
        return _adjusted_loss(adjust_by(objective.counts), label_smoothing)
    return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)


def make_metrics(objective: Objective) -> list[keras.metrics.Metric]:
    """What is followed while a model trains: ``accuracy`` and ``cross_entropy``."""
    if objective.has_several:
        return [
            keras.metrics.MeanMetricWrapper(_are_all_right, name="accuracy"),
            keras.metrics.BinaryCrossentropy(name="cross_entropy"),
        ]
    return [
        keras.metrics.CategoricalAccuracy(name="accuracy"),
        keras.metrics.CategoricalCrossentropy(name="cross_entropy"),
    ]


def _weighted_loss(weights: np.ndarray, label_smoothing: float) -> Loss:
    """Cross-entropy in which a picture weighs what its target says, mixed ones in their shares."""

    def class_weighted(targets, probabilities):
        entropies = keras.losses.categorical_crossentropy(
            targets, probabilities, label_smoothing=label_smoothing
        )
        return entropies * keras.ops.sum(targets * weights, axis=-1)

    return class_weighted


def _adjusted_loss(added: np.ndarray, label_smoothing: float) -> Loss:
    """Cross-entropy of logits plus ``tau · log prior``: Menon et al. 2021, equation 10.

    The head gives probabilities. Their logarithms are its logits but for a constant, which a
    softmax does not see.
    """

    def logit_adjusted(targets, probabilities):
        logits = keras.ops.log(keras.ops.maximum(probabilities, _TINY)) + added
        return keras.losses.categorical_crossentropy(
            targets, logits, from_logits=True, label_smoothing=label_smoothing
        )

    return logit_adjusted


def _are_all_right(targets, probabilities):
    """Whether every label of a picture is given, and no other: ``[batch]`` zeros and ones."""
    same = keras.ops.equal(targets >= 0.5, probabilities >= 0.5)
    return keras.ops.cast(keras.ops.all(same, axis=-1), "float32")
