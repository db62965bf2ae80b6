"""Metrics on validation, computed from all predictions at once."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf

from tfxfer.machine.compiled import Call, compile_model, predict
from tfxfer.machine.processes import Share
from tfxfer.task import Labels, Objective


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
        labels: Labels,
        *,
        objective: Objective,
        share: Share,
    ):
        super().__init__()
        self._validation, self._objective, self._share = validation, objective, share
        self._labels = labels.change(share.gather)
        self._call: Call | None = None

    def on_epoch_end(self, epoch, logs=None):
        self._call = self._call or compile_model(self.model)
        features = (batch for batch, _ in self._validation.as_numpy_iterator())
        probabilities = self._share.gather(predict(self._call, features))
        if np.isfinite(probabilities).all():
            figures = self._objective.measure(self._labels, probabilities)
        else:
            # Probabilities that are no numbers have no score, and end the phase.
            names = ("accuracy", "cross_entropy", self._objective.chosen_by)
            figures = dict.fromkeys(names, math.nan)
        for name, value in figures.items():
            logs[f"val_{name}"] = value
