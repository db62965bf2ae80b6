"""A LiteRT file (``.tflite``) ready to predict, with the interpreter that phones have too."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfxfer import runtime
from tfxfer.errors import InputError, first_line
from tfxfer.export.litert_file import import_litert
from tfxfer.export.litert_metadata import load_labels
from tfxfer.prediction.predictor import (
    Prediction,
    PredictionError,
    Predictor,
    refuse_embeddings,
)
from tfxfer.prediction.prepare import make_prepare, read_classes


class LiteModel:
    """A LiteRT model from pictures to rows of numbers, in whatever type it computes.

    Attributes:
        size_px: side of its pictures.
        width: how many numbers it gives of one.

    Raises:
        ValueError: it cannot be read, or takes or gives something else.
    """

    def __init__(self, content: bytes, threads: int | None = None) -> None:
        """Make it ready.

        Args:
            threads: CPU threads that a call uses; None: one for each core.
        """
        interpreter = import_litert("interpreter").Interpreter
        threads = threads or os.cpu_count() or 1
        with runtime.silent_stderr():  # it says past Python that it has fast arithmetic
            self._interpreter = interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError(f"it has {len(inputs)} inputs and {len(outputs)} outputs")
        self._input, self._output = inputs[0], outputs[0]
        _, *sides = self._input["shape"]
        if len(sides) != 3 or sides[0] != sides[1] or sides[2] != 3:
            raise ValueError(f"its input has the shape {self._input['shape_signature'].tolist()}")
        self.size_px = int(sides[0])
        self.width = int(self._output["shape"][-1])
        self._rows = int(self._input["shape"][0])

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Map pictures to rows of numbers; not for several threads at a time.

        Args:
            pictures: ``[batch, size, size, 3]`` float32, 0…255.

        Returns:
            ``[batch, width]`` float32.

        Raises:
            RuntimeError, ValueError: it cannot be run on these.
        """
        given = _quantize(pictures, self._input["dtype"], self._input["quantization"])
        if len(given) != self._rows:
            self._rows = 0
            self._interpreter.resize_tensor_input(self._input["index"], given.shape)
            self._interpreter.allocate_tensors()
            self._rows = len(given)
        self._interpreter.set_tensor(self._input["index"], given)
        self._interpreter.invoke()
        rows = self._interpreter.get_tensor(self._output["index"])
        if np.issubdtype(rows.dtype, np.floating):
            return rows.astype(np.float32)
        scale, zero_point = self._output["quantization"]
        return (rows.astype(np.float32) - zero_point) * np.float32(scale)


def load_litert(path: Path, with_embeddings: bool) -> Predictor:
    """Make a LiteRT file ready to predict.

    Args:
        path: a ``.tflite`` file whose model takes RGB pictures 0…255, as tfxfer writes them. Its
            class names stand in the file, or in ``classes.txt`` beside it, one a line.

    Raises:
        InputError: embeddings are asked for, it cannot be read, or there are no class names.
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

    def predict(pictures: Sequence[np.ndarray]) -> Prediction:
        try:
            return Prediction(model(np.stack(pictures)))
        except (RuntimeError, ValueError) as error:
            raise PredictionError(f"LiteRT cannot run the model: {first_line(error)}") from error

    return Predictor(str(path), classes, make_prepare(model.size_px), predict, model.size_px)


def _load_classes(path: Path, count: int) -> tuple[str, ...]:
    """Class names that lie in the file, else those of ``classes.txt`` beside it."""
    classes = load_labels(path)
    if classes is None:
        return read_classes(path.parent, count)
    if len(classes) != count:
        raise InputError(
            f"A LiteRT file must name each of the model's {count} classes. Received: "
            f"{len(classes)} names in {str(path)!r}. Export the model again."
        )
    return classes


def _quantize(
    pictures: np.ndarray, dtype: type[np.generic], quantization: tuple[float, int]
) -> np.ndarray:
    """Pictures 0…255 in the type that the model takes."""
    if np.issubdtype(dtype, np.floating):
        return pictures.astype(dtype)
    scale, zero_point = quantization
    limits = np.iinfo(dtype)  # type: ignore[type-var]
    rounded = np.rint(pictures / scale) + zero_point
    return rounded.clip(limits.min, limits.max).astype(dtype)
