"""Early stopping that also remembers the weights from before the phase."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import keras
import numpy as np

from tfxfer.records.results import PhaseResult

# An epoch may be so many standard errors below the best one. Two epochs of one network are right on
# mostly the same items, so that they differ less than two independent samples.
_NOISE = 0.5


def standard_error(share: float, count: int) -> float:
    """Return the standard error of a share, 0…1, of so many items."""
    return math.sqrt(max(0.0, share * (1 - share)) / count)


@dataclass(frozen=True)
class Standing:
    """How good some weights are on validation.

    A higher score (of the metric that chooses epochs) is better. Scores on small validation sets
    are often equal; then a lower cross-entropy is better. The accuracy is not compared.
    """

    score: float = -1.0
    cross_entropy: float = math.inf
    accuracy: float = field(default=-1.0, compare=False)

    @classmethod
    def of(cls, result: PhaseResult | None) -> Standing:
        """Return the standing at the end of a phase, or the lowest one if there was no phase."""
        if result is None:
            return cls()
        return cls(result.val_score, result.val_cross_entropy, result.val_accuracy)

    def is_beaten_by(self, score: float, cross_entropy: float) -> bool:
        """Return whether validation figures are better than these."""
        return (score, -cross_entropy) > (self.score, -self.cross_entropy)


class KeepBest(keras.callbacks.Callback):
    """A callback that keeps the best weights and stops after `patience` epochs without better ones.

    The best weights are those of the last epoch whose score is within half a standard error of the
    highest score. Among epochs that a validation set cannot distinguish, later ones, at a lower
    rate, are better on other items. Epochs with figures that are not finite do not count.
    Unlike `keras.callbacks.EarlyStopping`, the weights from before the training are a candidate
    too: a phase that only harms changes nothing.

    Args:
        patience: The number of epochs in a row without improvement; None never stops.
        standing: The standing that an epoch has to beat.
        items: The number of validation items.
        keeps_last: Whether the last epoch is kept, because validation items are trained on.
        metric: The key of `tfxfer.records.CRITERIA` that scores epochs; logs hold it with ``val_``
            before the name, ``val_cross_entropy`` and ``val_accuracy``.

    Attributes:
        before: The standing of the weights from before the training, which an epoch has to beat.
        epoch: The number of the best epoch, from 1; 0 if there is none.
        standing: The standing of that epoch.
        top, top_epoch: The highest standing so far, and its epoch, for `patience`.
        weights: The weights of that epoch, or from before the training; None before it begins.
    """

    def __init__(
        self,
        patience: int | None,
        standing: Standing,
        *,
        items: int,
        metric: str = "accuracy",
        keeps_last: bool = False,
    ):
        super().__init__()
        self._keeps_last = keeps_last
        self._patience, self._metric = patience, metric
        self.before, self._items = standing, items
        self.epoch = self.top_epoch = 0
        self.standing = self.top = standing
        self.weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs=None):
        if self.weights is None:
            self.weights = self.model.get_weights()

    def on_epoch_end(self, epoch, logs=None):
        if not all(map(math.isfinite, logs.values())):
            return
        names = (self._metric, "cross_entropy", "accuracy")
        score, cross_entropy, accuracy = (float(logs[f"val_{name}"]) for name in names)
        now = Standing(score, cross_entropy, accuracy)
        is_better = self.top.is_beaten_by(score, cross_entropy)
        if is_better:
            self.top, self.top_epoch = now, epoch + 1
        is_as_good = score >= self.top.score - _NOISE * standard_error(self.top.score, self._items)
        beats_before = self.before.is_beaten_by(score, cross_entropy)
        if self._keeps_last or (is_as_good and beats_before):
            self.standing, self.epoch = now, epoch + 1
            self.weights = self.model.get_weights()
        if self._patience is not None and epoch + 1 - self.top_epoch >= self._patience:
            self.model.stop_training = True

    def restore(self) -> None:
        """Put the best weights back into the model; call it when `fit` has returned."""
        self.model.set_weights(self.weights)
