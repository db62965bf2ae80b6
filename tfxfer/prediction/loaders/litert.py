"""Models in LiteRT files (``.tflite``), run by the same interpreter as on phones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfxfer.errors import InputError, first_line
from tfxfer.litert.file import import_litert
from tfxfer.litert.interpreter import LiteModel
from tfxfer.litert.metadata import load_labels
from tfxfer.prediction.predictor import (
    Prediction,
    PredictionError,
    Predictor,
    refuse_embeddings,
)
from tfxfer.prediction.prepare import make_prepare, read_classes


def load_litert(path: Path, with_embeddings: bool) -> Predictor:
    """Make a LiteRT file ready to predict.

    Args:
        path: A ``.tflite`` file whose model takes RGB pictures, 0…255, as tfxfer writes them. Its
            class names stand in the file, or in ``classes.txt`` beside it, one in each line.
        with_embeddings: Must be False: LiteRT files give no embeddings.

    Raises:
        InputError: Embeddings are asked for, the file cannot be read, or its class names are
            missing.
    """
    refuse_embeddings(path, with_embeddings)
    import_litert("interpreter")
    try:
        model = LiteModel(path.read_bytes())
    except (RuntimeError, ValueError) as error:
        raise InputError(
            "A LiteRT model must take square RGB pictures, and give one row of probabilities for "
            f"each. Received: {str(path)!r}: {first_line(error)}. Export it with tfxfer."
        ) from error
    classes = _load_classes(path, model.width)

    def predict(items: Sequence[np.ndarray]) -> Prediction:
        try:
            return Prediction(model(np.stack(items)))
        except (RuntimeError, ValueError) as error:
            raise PredictionError(f"LiteRT cannot run the model: {first_line(error)}") from error

    return Predictor(str(path), classes, make_prepare(model.input), predict, model.input)


def _load_classes(path: Path, count: int) -> tuple[str, ...]:
    """Return the class names in the file, else those in ``classes.txt`` beside it."""
    classes = load_labels(path)
    if classes is None:
        return read_classes(path.parent, count)
    if len(classes) != count:
        raise InputError(
            f"A LiteRT file must name each of the model's {count} classes. Received: "
            f"{len(classes)} names in {str(path)!r}. Export the model again."
        )
    return classes
