"""Metrics on validation that need all predictions at once."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf

from tfxfer.evaluation import accuracy, cross_entropy
from tfxfer.phases.objective import Objective


class Validate(keras.callbacks.Callback):
    """Predict the validation pictures after each epoch, and put their figures into its logs.

    Average precision and macro recall are no means over batches, which is all that `fit` keeps.
    This stands in for its ``validation_data``, and before the callbacks that read the logs.

    Args:
        validation: batches whose first part is what the model takes, in the order of the labels.
        labels: of the validation pictures.
        objective: what names the score.
    """

    def __init__(self, validation: tf.data.Dataset, labels: np.ndarray, objective: Objective):
        super().__init__()
        self._validation, self._labels, self._objective = validation, labels, objective

    def on_epoch_end(self, epoch, logs=None):
        probabilities = self.model.predict(self._validation, verbose=0)
        # What is no number has no score, and ends the phase.
        is_finite = bool(np.isfinite(probabilities).all())
        for name, score in (
            ("accuracy", accuracy),
            ("cross_entropy", cross_entropy),
            (self._objective.chosen_by, self._objective.score),
        ):
            logs[f"val_{name}"] = score(self._labels, probabilities) if is_finite else math.nan
