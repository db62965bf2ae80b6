"""Metrics on validation, of all predictions at once."""

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
    """Predict the validation pictures after each epoch, and put their figures into its logs.

    This stands in for the ``validation_data`` of `fit`, which keeps means over batches alone, and
    takes no last, smaller batch where several devices share each one. It stands before the
    callbacks that read the logs.

    Args:
        validation: batches whose first part is what the model takes, in the order of the labels.
        labels: of the validation pictures.
        objective: what names the score.
        share: of this process, whose pictures these are; the figures are those of all pictures.
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
        # What is no number has no score, and ends the phase.
        is_finite = bool(np.isfinite(probabilities).all())
        for name, score in (
            ("accuracy", accuracy),
            ("cross_entropy", cross_entropy),
            (self._objective.chosen_by, self._objective.score),
        ):
            logs[f"val_{name}"] = score(self._labels, probabilities) if is_finite else math.nan
