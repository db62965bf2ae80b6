"""Metrics on validation, computed from all predictions at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np

from tfxfer.machine.compiled import Call, compile_model, predict
from tfxfer.machine.processes import Share
from tfxfer.phases.precision import as_served
from tfxfer.task import Labels, Objective


class Validate(keras.callbacks.Callback):
    """A callback that predicts the validation items after each epoch and logs their metrics.

    It replaces the ``validation_data`` of `fit`, which only has means over batches, and cannot use
    a last, smaller batch if several devices share each batch. It has to come before the callbacks
    that read the logs.

    Args:
        validation: A function that returns batches of the model's inputs, in the order of the
            labels.
        labels: The labels of the validation items.
        objective: The objective, which names the score.
        share: The part of the run that this process does; the metrics are those of all items.
        layers: The layers that train in the precision of the phase; here they compute in float32,
            as they are served.
    """

    def __init__(
        self,
        validation: Callable[[], Iterator[np.ndarray]],
        labels: Labels,
        *,
        objective: Objective,
        share: Share,
        layers: Sequence[keras.layers.Layer] = (),
    ):
        super().__init__()
        self._layers = layers
        self._validation, self._objective, self._share = validation, objective, share
        self._labels = labels.change(share.gather)
        self._compiled: tuple[keras.Model, Call] | None = None

    def predict(self, model: keras.Model) -> np.ndarray:
        """Return a model's probabilities for the validation items of all processes, in order.

        A model is compiled once. The arrays ``[items, classes]`` are float32.
        """
        if self._compiled is None or self._compiled[0] is not model:
            self._compiled = model, compile_model(model)
        with as_served(self._layers):
            found = predict(self._compiled[1], self._validation())
        return self._share.gather(found)

    def on_epoch_end(self, epoch, logs=None):
        probabilities = self.predict(self.model)
        if np.isfinite(probabilities).all():
            figures = self._objective.measure(self._labels, probabilities)
        else:
            # Probabilities that are no numbers have no score, and end the phase.
            names = ("accuracy", "cross_entropy", self._objective.chosen_by)
            figures = dict.fromkeys(names, math.nan)
        for name, value in figures.items():
            logs[f"val_{name}"] = value
