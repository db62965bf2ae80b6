"""Models that Keras or TensorFlow runs: a run's own model, and a SavedModel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfxfer.backbones.whole import add_embeddings
from tfxfer.errors import InputError, first_line
from tfxfer.machine.compiled import compile_model
from tfxfer.modality import InputSpec
from tfxfer.prediction.predictor import Prediction, Predictor
from tfxfer.prediction.prepare import make_prepare, read_classes
from tfxfer.prediction.run_model import load_model


def load_run(path: Path, with_embeddings: bool, trust: bool) -> Predictor:
    """Load the model of a run's folder or a ``.keras`` file; its list of classes lies beside it.

    Raises:
        InputError: The model cannot be loaded, as in `load_model`, or its list of classes is
            missing.
    """
    model = load_model(path, trust)
    classes = read_classes(path if path.is_dir() else path.parent, model.output_shape[-1])
    spec = InputSpec.of(model)
    call = compile_model(add_embeddings(model) if with_embeddings else model)

    def run_batch(items: Sequence[np.ndarray]) -> Prediction:
        return Prediction(*call(np.stack(items)))

    return Predictor(str(path), classes, make_prepare(spec), run_batch, spec)


def load_saved_model(path: Path, with_embeddings: bool) -> Predictor:
    """Load a SavedModel that tfxfer has exported.

    Raises:
        InputError: It cannot be loaded, or tfxfer has not exported it.
    """
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # TensorFlow raises errors of many types for a damaged file.
        raise InputError(
            f"A SavedModel must be whole. Received: {str(path)!r} ({first_line(error)}). "
            "Export it again."
        ) from error
    signatures = loaded.signatures
    missing = {"serving_default", "features"} - set(signatures)
    if missing:
        raise InputError(
            "A SavedModel must be one that tfxfer has exported, with signatures serving_default "
            f"and features. Received: {str(path)!r} with {', '.join(signatures) or 'none'}. "
            "Export it again: tfxfer export RUN."
        )
    classify = signatures["serving_default"]
    ((name, taken),) = classify.structured_input_signature[1].items()
    spec = InputSpec(name, tuple(taken.shape[1:]), taken.dtype.name)
    count = classify.structured_outputs["probabilities"].shape[-1]
    classes = read_classes(path / "assets", count)

    def call(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        # The signatures are looked up in `loaded` each time, because they need it to stay alive.
        outputs = loaded.signatures["serving_default"](**{name: batch})
        if with_embeddings:
            outputs |= loaded.signatures["features"](**{name: batch})
        return outputs

    return Predictor(str(path), classes, make_prepare(spec), _run_by(call), spec)


def _run_by(
    call: Callable[[tf.Tensor], dict[str, tf.Tensor]],
) -> Callable[[Sequence[np.ndarray]], Prediction]:
    def run_batch(items: Sequence[np.ndarray]) -> Prediction:
        outputs = call(tf.constant(np.stack(items)))
        embeddings = outputs.get("embeddings")
        return Prediction(
            outputs["probabilities"].numpy(),
            None if embeddings is None else embeddings.numpy(),
        )

    return run_batch
