"""The needs of every model that runs locally: pixels as in training, and its class names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfxfer import run
from tfxfer.errors import InputError
from tfxfer.kinds import MODALITIES
from tfxfer.modality import InputSpec, Modality
from tfxfer.prediction.predictor import PredictionError


def find_modality(input_name: str) -> Modality:
    """Return the modality of a model by its input's name, which says what its items are.

    Converters put words around the name. Where it was lost, the first modality is taken.
    """
    rows = list(MODALITIES.values())
    return next((row for row in rows if row.name in input_name), rows[0])


def make_prepare(spec: InputSpec) -> Callable[[bytes], np.ndarray]:
    """Return a function from an encoded item to the array that a model takes of it.

    The function raises `PredictionError` with the fault that an audit would name.
    """
    row = find_modality(spec.name)
    view = row.plain_view(spec)

    def prepare(encoded: bytes) -> np.ndarray:
        fault = row.find_fault(encoded)
        if fault:
            raise PredictionError(fault)
        try:
            return view(tf.constant(encoded)).numpy()
        except tf.errors.OpError as error:
            fault = row.look_at_encoded(encoded).fault or "cannot be decoded"
            raise PredictionError(fault) from error

    return prepare


def read_classes(folder: Path, count: int) -> tuple[str, ...]:
    """Read the class names of a model from the folder that it lies in.

    Raises:
        InputError: The names are missing, or their number is not `count`.
    """
    classes = run.read_classes(folder)
    if classes is None:
        raise InputError(
            f"The names of the classes stand in {run.CLASSES}, one a line. Received: none in "
            f"{str(folder)!r}. Copy the file of the run to it."
        )
    if len(classes) != count:
        raise InputError(
            f"{run.CLASSES} must have a name for each of the model's {count} classes. Received: "
            f"{len(classes)} in {str(folder / run.CLASSES)!r}. Copy the file of the same run."
        )
    return classes
