"""Run a LiteRT file."""

from __future__ import annotations

import os

import numpy as np

from tfxfer.litert.file import import_litert
from tfxfer.machine import runtime
from tfxfer.modality import InputSpec


class LiteModel:
    """A LiteRT model that maps pictures to rows of numbers, whatever type it computes in.

    Attributes:
        input: What it takes of one item.
        width: The length of the row that it gives for a picture.

    Raises:
        ValueError: The file cannot be read, or the model has other inputs or outputs.
    """

    def __init__(self, content: bytes, threads: int | None = None) -> None:
        """Load the model.

        Args:
            content: The bytes of the file.
            threads: The number of CPU threads that a call uses; None takes one for each core.
        """
        interpreter = import_litert("interpreter").Interpreter
        threads = threads or os.cpu_count() or 1
        with runtime.silent_stderr():  # Its native code announces that it has fast arithmetic.
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
        self.input = InputSpec(str(self._input["name"]), tuple(map(int, sides)))
        self.width = int(self._output["shape"][-1])
        self._rows = int(self._input["shape"][0])

    def __call__(self, items: np.ndarray) -> np.ndarray:
        """Map pictures to rows of numbers. Only one thread may call this at a time.

        Args:
            pictures: ``[batch, size, size, 3]`` float32, 0…255.

        Returns:
            ``[batch, width]`` float32.

        Raises:
            RuntimeError, ValueError: The model cannot run on these pictures.
        """
        given = _quantize(items, self._input["dtype"], self._input["quantization"])
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


def _quantize(
    items: np.ndarray, dtype: type[np.generic], quantization: tuple[float, int]
) -> np.ndarray:
    """Convert pictures, 0…255, to the type that the model takes."""
    if np.issubdtype(dtype, np.floating):
        return items.astype(dtype)
    scale, zero_point = quantization
    limits = np.iinfo(dtype)  # type: ignore[type-var]
    rounded = np.rint(items / scale) + zero_point
    return rounded.clip(limits.min, limits.max).astype(dtype)
