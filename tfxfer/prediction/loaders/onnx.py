"""Models that ONNX Runtime runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfxfer.errors import InputError, first_line
from tfxfer.modality import InputSpec
from tfxfer.prediction.predictor import Prediction, Predictor, refuse_embeddings, refuse_missing
from tfxfer.prediction.prepare import make_prepare, read_classes


def load_onnx(path: Path, with_embeddings: bool) -> Predictor:
    """Load an ``.onnx`` file, for the CPU.

    Raises:
        InputError: The package is missing, or the file is broken or holds another kind of model.
    """
    refuse_embeddings(path, with_embeddings)
    refuse_missing(path, "onnxruntime", '"tfxfer[onnx]"')
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common type.
        raise InputError(
            f"An .onnx file must be whole. Received: {str(path)!r} ({first_line(error)}). "
            "Export it again."
        ) from error
    taken, given = session.get_inputs()[0], session.get_outputs()[0]
    spec = InputSpec(taken.name, tuple(map(int, taken.shape[1:])))
    classes = read_classes(path.parent, int(given.shape[-1]))

    def run_batch(items: Sequence[np.ndarray]) -> Prediction:
        return Prediction(session.run([given.name], {taken.name: np.stack(items)})[0])

    return Predictor(str(path), classes, make_prepare(spec), run_batch, spec)
