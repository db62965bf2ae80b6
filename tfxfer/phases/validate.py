"""Metrics on validation, computed from all predictions at once."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf

from tfxfer.machine.compiled import Call, compile_model, predict
from tfxfer.machine.processes import ALONE, Share
from tfxfer.tasks.metrics import accuracy, cross_entropy
from tfxfer.tasks.objective import Objective


class Validate(keras.callbacks.Callback):
    """A callback that predicts the validation items after each epoch and logs their metrics.

    It replaces the ``validation_data`` of `fit`, which only has means over batches, and cannot use
    a last, smaller batch if several devices share each batch. It has to come before the callbacks
    that read the logs.

    Args:
        validation: Batches of the model's inputs and labels, in the order of the labels.
        labels: The labels of the validation items.
        objective: The objective, which names the score.
        share: The part of the run that this process does; the metrics are those of all items.
    """

    def __init__(
        self,
        validation: tf.data.Dataset,
        labels: np.ndarray,
        objective: Objective,
        share: Share = ALONE,
    ):
        super().__init__()
        self._validation, self._objective, self._share = validation, objective, share
        self._labels = share.gather(labels)
        self._call: Call | None = None

    def on_epoch_end(self, epoch, logs=None):
        self._call = self._call or compile_model(self.model)
        features = (batch for batch, _ in self._validation.as_numpy_iterator())
        probabilities = self._share.gather(predict(self._call, features))
        # Probabilities that are not finite have no score, and end the phase.
        is_finite = bool(np.isfinite(probabilities).all())
        for name, score in (
            ("accuracy", accuracy),
            ("cross_entropy", cross_entropy),
            (self._objective.chosen_by, self._objective.score),
        ):
            logs[f"val_{name}"] = score(self._labels, probabilities) if is_finite else math.nan
