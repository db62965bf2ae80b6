"""Models that LiteRT runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tfxfer import run
from tfxfer.errors import InputError, first_line
from tfxfer.export.litert_metadata import read_labels
from tfxfer.prediction.predictor import Prediction, Predictor, refuse_embeddings
from tfxfer.prediction.prepare import make_prepare, read_classes


def load_litert(path: Path, with_embeddings: bool) -> Predictor:
    """Load a ``.tflite`` file; its classes lie in it, or in ``classes.txt`` beside it.

    Raises:
        InputError: the package is missing, or the file is broken or of another model.
    """
    refuse_embeddings(path, with_embeddings)
    if find_spec("ai_edge_litert") is None:
        raise InputError(
            "A .tflite file needs the package ai-edge-litert. Received: an environment without "
            'it. Install it: pip install "tfxfer[litert]"'
        )
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(str(path), num_threads=os.cpu_count())
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"A .tflite file must be whole. Received: {str(path)!r} ({first_line(error)}). "
            "Export it again."
        ) from error
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    classes = read_labels(path.read_bytes())
    if classes is None:
        classes = read_classes(path.parent / run.CLASSES, int(given["shape"][-1]))

    def run_batch(pictures: Sequence[np.ndarray]) -> Prediction:
        batch = quantise(np.stack(pictures), taken)
        if interpreter.get_input_details()[0]["shape"][0] != len(batch):
            interpreter.resize_tensor_input(taken["index"], batch.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], batch)
        interpreter.invoke()
        return Prediction(restore(interpreter.get_tensor(given["index"]), given))

    size_px = int(taken["shape"][1])
    return Predictor(str(path), classes, make_prepare(size_px), run_batch, size_px)


def quantise(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """Numbers as a tensor takes them: whole ones by its scale and zero point, or as they are."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.round(values / scale + zero), limits.min, limits.max).astype(tensor["dtype"])


def restore(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """The numbers float32 that whole ones stand for."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero = tensor["quantization"]
    return ((values.astype(np.float32) - zero) * scale).astype(np.float32)
