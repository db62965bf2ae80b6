"""What Keras has trained on JAX, as a program that TensorFlow runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import keras
import tensorflow as tf

from tfxfer.errors import InputError
from tfxfer.machine.compiled import is_on
from tfxfer.tasks.heads import add_embeddings

# What programs run on; by default, it would be that alone which this process trains on.
_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def trace_jax(model: keras.Model, module: tf.Module) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """Make a model one operation that holds XLA's program, for every platform.

    Args:
        model: from pictures to probabilities, on Keras's JAX backend.
        module: is to hold its weights.

    Returns:
        From pictures to probabilities and embeddings.
    """
    both = add_embeddings(model)
    archive = keras.export.ExportArchive()
    archive.track(both)

    def call(pictures: Any) -> list[Any]:
        return both(pictures, training=False)

    spec = tf.TensorSpec(model.input_shape, tf.float32)
    with warnings.catch_warnings():
        # That what a GPU exports needs one to be loaded: not where it is for every platform.
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
        InputError: with the versions.
    """
    if is_on("jax") and not is_readable():
        raise InputError(
            "What JAX exports must be a program that TensorFlow reads. Received: "
            f"{describe_versions()}. Install those that go together: pip install "
            '"tfxfer[jax]". Or train on TensorFlow: KERAS_BACKEND=tensorflow.'
        )


def is_readable() -> bool:
    """Whether this TensorFlow reads the programs of this JAX, seen by a small one."""
    from jax.experimental import jax2tf

    # Any number of pictures is what newer versions write in a way that is unknown to older readers.
    program = jax2tf.convert(
        lambda pictures: pictures + 1,
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
    """Those of the two, such as ``"jax 0.10.2 and tensorflow 2.21.0"``."""
    return f"jax {version('jax')} and tensorflow {version('tensorflow')}"
