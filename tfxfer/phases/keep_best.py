"""Early stopping that remembers the phase before."""

from __future__ import annotations

import math

import keras

from tfxfer.records import PhaseResult


class KeepBest(keras.callbacks.Callback):
    """Stop after `patience` epochs without a better one, and bring the best weights back.

    A loss that is no number any more ends the phase at once.

    Better is a higher validation accuracy or, where that is equal (small validation sets tie
    often), a lower cross-entropy. Unlike `keras.callbacks.EarlyStopping`, the weights from before
    the phase are a candidate too: a phase that only harms changes nothing.

    Attributes:
        epoch: number of the best epoch, from 1; 0 for the weights from before the phase.
        accuracy, cross_entropy: of the best epoch on the validation split.
    """

    def __init__(self, patience: int, previous: PhaseResult | None):
        super().__init__()
        self._patience = patience
        self.epoch = 0
        self.accuracy = previous.val_accuracy if previous else -1.0
        self.cross_entropy = previous.val_cross_entropy if previous else float("inf")

    def on_train_begin(self, logs=None):
        self._weights = self.model.get_weights()

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        accuracy, cross_entropy = logs["val_accuracy"], logs["val_cross_entropy"]
        if (accuracy, -cross_entropy) > (self.accuracy, -self.cross_entropy):
            self.accuracy, self.cross_entropy = float(accuracy), float(cross_entropy)
            self.epoch = epoch + 1
            self._weights = self.model.get_weights()
        elif epoch + 1 - self.epoch >= self._patience:
            self.model.stop_training = True

    def restore(self) -> None:
        """Put the best weights back into the model; call it when `fit` has returned."""
        self.model.set_weights(self._weights)
