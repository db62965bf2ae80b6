"""Models that Keras trained on JAX, as programs that TensorFlow runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import keras
import tensorflow as tf

from tfxfer.backbones.whole import add_embeddings
from tfxfer.errors import InputError
from tfxfer.machine.compiled import is_on

# The programs run on all of these. By default, they would only run where this process trains.
_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def trace_jax(model: keras.Model, module: tf.Module) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """Turn a model into one operation that holds XLA's program for every platform.

    Args:
        model: A model from pictures to probabilities, on Keras's JAX backend.
        module: The module that will hold its weights.

    Returns:
        A function from pictures to probabilities and embeddings.
    """
    both = add_embeddings(model)
    archive = keras.export.ExportArchive()
    archive.track(both)

    def call(items: Any) -> list[Any]:
        return both(items, training=False)

    spec = tf.TensorSpec(model.input_shape, tf.float32)
    with warnings.catch_warnings():
        # The warning says that a program exported on a GPU needs one. This is for all platforms.
        warnings.filterwarnings("ignore", message="JAX backend is using GPU for export")
        answer = archive.add_endpoint(
            "answer",
            call,
            input_signature=[spec],
            jax2tf_kwargs={"native_serialization_platforms": _PLATFORMS},
        )
    module.weights = list(archive.variables)
    return answer


def check_readable() -> None:
    """Refuse a JAX whose programs TensorFlow cannot read, before anything is trained or exported.

    Raises:
        InputError: TensorFlow cannot read them; the error names both versions.
    """
    if is_on("jax") and not is_readable():
        raise InputError(
            "What JAX exports must be a program that TensorFlow reads. Received: "
            f"{describe_versions()}. Install those that go together: pip install "
            '"tfxfer[jax]". Or train on TensorFlow: KERAS_BACKEND=tensorflow.'
        )


def is_readable() -> bool:
    """Return whether this TensorFlow can run a small program of this JAX."""
    from jax.experimental import jax2tf

    # A free number of pictures is what newer versions of JAX write in a way that older versions of
    # TensorFlow cannot read.
    program = jax2tf.convert(
        lambda items: items + 1,
        polymorphic_shapes=["(batch, ...)"],
        native_serialization_platforms=_PLATFORMS,
    )
    spec = tf.TensorSpec([None, 1], tf.float32)
    try:
        tf.function(program, input_signature=[spec], autograph=False)(tf.zeros([2, 1]))
    except tf.errors.OpError:
        return False
    return True


def describe_versions() -> str:
    """Return both versions, such as ``"jax 0.10.2 and tensorflow 2.21.0"``."""
    return f"jax {version('jax')} and tensorflow {version('tensorflow')}"
