"""Models that OpenVINO runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfxfer.errors import InputError, first_line
from tfxfer.machine.openvino import import_openvino
from tfxfer.modality import InputSpec
from tfxfer.prediction.predictor import Prediction, Predictor, refuse_embeddings, refuse_missing
from tfxfer.prediction.prepare import make_prepare, read_classes


def load_openvino(path: Path, with_embeddings: bool) -> Predictor:
    """Load an ``.xml`` file with its ``.bin`` beside it, for the CPU, in float32.

    Raises:
        InputError: The package is missing, or the files are broken or hold another kind of model.
    """
    refuse_embeddings(path, with_embeddings)
    refuse_missing(path, "openvino", "openvino")
    ov = import_openvino()
    core = ov.Core()
    try:
        model = core.read_model(path)
        # By itself, OpenVINO computes in bfloat16, which rounds more, if the CPU supports it.
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except RuntimeError as error:
        raise InputError(
            "An .xml file must be a network of OpenVINO, with its weights in the .bin file beside "
            f"it. Received: {str(path)!r} ({first_line(error)}). Export it again."
        ) from error
    taken = compiled.input(0)
    shape = tuple(side.get_length() for side in list(taken.partial_shape)[1:])
    spec = InputSpec(next(iter(taken.names), ""), shape)
    count = int(compiled.output(0).partial_shape[1].get_length())
    classes = read_classes(path.parent, count)

    def run_batch(items: Sequence[np.ndarray]) -> Prediction:
        outputs = compiled(np.stack(items))
        return Prediction(np.array(outputs[0]))

    return Predictor(str(path), classes, make_prepare(spec), run_batch, spec)
