"""Early stopping that remembers what there was before the phase."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras

from tfxfer.records import PhaseResult


@dataclass(frozen=True)
class Standing:
    """How good some weights are on validation.

    Better is a higher accuracy or, where that is equal (small validation sets tie often), a lower
    cross-entropy.
    """

    accuracy: float = -1.0
    cross_entropy: float = math.inf

    @classmethod
    def of(cls, result: PhaseResult | None) -> Standing:
        """What a phase ended with; None: nothing was trained yet."""
        return cls(result.val_accuracy, result.val_cross_entropy) if result else cls()

    def is_beaten_by(self, accuracy: float, cross_entropy: float) -> bool:
        """Whether figures on validation are better than these."""
        return (accuracy, -cross_entropy) > (self.accuracy, -self.cross_entropy)


class KeepBest(keras.callbacks.Callback):
    """Bring the best weights back; stop after `patience` epochs without better ones.

    A loss that is no number any more ends the phase at once. Unlike
    `keras.callbacks.EarlyStopping`, the weights from before the training are a candidate too: a
    phase that only harms changes nothing.

    Args:
        patience: epochs in a row that are no better; None: however many.
        standing: what an epoch has to beat.

    Attributes:
        epoch: number of the best epoch, from 1; 0 where none has beaten `standing`.
        standing: the best so far.
    """

    def __init__(self, patience: int | None, standing: Standing):
        super().__init__()
        self._patience = patience
        self.epoch = 0
        self.standing = standing

    def on_train_begin(self, logs=None):
        self._weights = self.model.get_weights()

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        accuracy, cross_entropy = float(logs["val_accuracy"]), float(logs["val_cross_entropy"])
        if self.standing.is_beaten_by(accuracy, cross_entropy):
            self.standing = Standing(accuracy, cross_entropy)
            self.epoch = epoch + 1
            self._weights = self.model.get_weights()
        elif self._patience is not None and epoch + 1 - self.epoch >= self._patience:
            self.model.stop_training = True

    def restore(self) -> None:
        """Put the best weights back into the model; call it when `fit` has returned."""
        self.model.set_weights(self._weights)
