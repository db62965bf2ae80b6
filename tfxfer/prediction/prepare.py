"""The needs of every model that runs locally: pixels as in training, and its class names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfxfer import run
from tfxfer.errors import InputError
from tfxfer.modalities.pictures.look import look_at_encoded, look_at_header
from tfxfer.modalities.pictures.view import plain_view
from tfxfer.prediction.predictor import PredictionError


def make_prepare(size_px: int) -> Callable[[bytes], np.ndarray]:
    """Return a function from an encoded picture to ``[size, size, 3]`` float32, 0…255.

    The function raises `PredictionError` with the fault that an audit would name.
    """
    view = plain_view(size_px)

    def prepare(encoded: bytes) -> np.ndarray:
        # TensorFlow would decode a BMP file with a palette to the colours' numbers.
        fault = look_at_header("", encoded).fault if encoded.startswith(b"BM") else None
        if fault:
            raise PredictionError(fault)
        try:
            return view(tf.constant(encoded)).numpy()
        except tf.errors.OpError as error:
            fault = look_at_encoded("", encoded).fault or "cannot be decoded"
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
