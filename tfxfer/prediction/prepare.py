"""What every model that runs here needs: pixels as in training, and the names of its classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfxfer.data.inspect import look_at_encoded
from tfxfer.data.pipeline import plain_view
from tfxfer.errors import InputError
from tfxfer.prediction.predictor import PredictionError


def make_prepare(size_px: int) -> Callable[[bytes], np.ndarray]:
    """A function from an encoded picture to ``[size, size, 3]`` float32, 0…255.

    It raises `PredictionError` with the fault that an audit would name.
    """
    view = plain_view(size_px)

    def prepare(encoded: bytes) -> np.ndarray:
        refuse_palette(encoded)
        try:
            return view(tf.constant(encoded)).numpy()
        except tf.errors.OpError as error:
            fault = look_at_encoded("", encoded).fault or "cannot be decoded"
            raise PredictionError(fault) from error

    return prepare


def refuse_palette(encoded: bytes) -> None:
    """Refuse a BMP file with a palette, which TensorFlow decodes as numbers of colours.

    Raises:
        PredictionError: it is one, or a broken one.
    """
    fault = look_at_encoded("", encoded).fault if encoded.startswith(b"BM") else None
    if fault:
        raise PredictionError(fault)


def read_classes(file: Path, count: int) -> tuple[str, ...]:
    """Read class names, one a line.

    Raises:
        InputError: the file is not there, or has another number of names.
    """
    if not file.is_file():
        raise InputError(
            f"The names of the classes stand in {file.name}, one a line. Received: none in "
            f"{str(file.parent)!r}. Copy the file of the run to it."
        )
    classes = tuple(file.read_text(encoding="utf-8").split("\n")[:-1])
    if len(classes) != count:
        raise InputError(
            f"{file.name} must have a name for each of the model's {count} classes. Received: "
            f"{len(classes)} in {str(file)!r}. Copy the file of the same run."
        )
    return classes
