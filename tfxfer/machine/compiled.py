"""Keras models as functions of arrays, compiled by the backend that Keras runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import keras
import numpy as np

from tfxfer.errors import InputError

# A function from a batch to the model's outputs, in the order in which `keras.tree` flattens them.
Call = Callable[[np.ndarray], list[np.ndarray]]


def is_on(backend: str) -> bool:
    """Return whether Keras runs on a backend: ``"tensorflow"`` or ``"jax"``."""
    return keras.backend.backend() == backend


def check_backend(what: str, instead: str) -> None:
    """Refuse a thing that is made of TensorFlow's own graphs if Keras runs on another backend.

    Args:
        what: The thing that needs TensorFlow, as the subject of a sentence (``"A hub module"``).
        instead: What the user can do instead, as an imperative.

    Raises:
        InputError: Keras runs on another backend.
    """
    if not is_on("tensorflow"):
        raise InputError(
            f"{what} is TensorFlow's own, and needs Keras's TensorFlow backend. Received: "
            f"KERAS_BACKEND={keras.backend.backend()}. Set KERAS_BACKEND=tensorflow: a run's "
            f"model.keras loads on both. Or {instead}."
        )


@contextmanager
def exact_float32() -> Iterator[None]:
    """Multiply float32 numbers without rounding them first, inside a ``with`` block.

    By default, GPUs with tensor cores round the factors to 10 bits (TF32), and TPUs to 7 bits.
    """
    import tensorflow as tf

    options = tf.config.experimental
    before = options.tensor_float_32_execution_enabled()
    options.enable_tensor_float_32_execution(False)
    try:
        with _highest_precision() if is_on("jax") else nullcontext():
            yield
    finally:
        options.enable_tensor_float_32_execution(before)


@contextmanager
def graphs_as_written() -> Iterator[None]:
    """Run TensorFlow's graphs without rewriting them, inside a ``with`` block.

    TensorFlow rewrites a graph when it first runs it, which takes longer than a few calls.
    """
    import tensorflow as tf

    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        left = {"disable_meta_optimizer": False, **before}
        tf.config.optimizer.set_experimental_options(left)


def _highest_precision() -> AbstractContextManager[Any]:
    import jax

    # JAX compiles functions again that were compiled for another precision.
    return jax.default_matmul_precision("highest")


def compile_model(model: keras.Model) -> Call:
    """Compile a model in inference mode; each call uses the weights that the model has then.

    On JAX, a batch is divided among the devices of this process.

    Returns:
        A function from a batch ``[batch, …]`` float32 to arrays ``[batch, …]`` float32. Each size
        of a batch is compiled once.
    """
    return _on_jax(model) if is_on("jax") else _on_tensorflow(model, is_traced=True)


def call_model(model: keras.Model) -> Call:
    """Return the same function as `compile_model`, for a few calls.

    TensorFlow runs the model layer by layer, which takes no time to compile.
    """
    return _on_jax(model) if is_on("jax") else _on_tensorflow(model, is_traced=False)


def list_devices() -> list[Any]:
    """Return the devices of this process that JAX computes on.

    There is one, unless Keras spreads its models over several.
    """
    import jax

    return jax.local_devices() if keras.distribution.distribution() else jax.local_devices()[:1]


def predict(call: Call, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Return the output of a one-output model for every item, ``[items, …]`` float32."""
    return np.concatenate(list(predict_each(call, batches)))


def predict_each(call: Call, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the same outputs batch by batch: every item once, in order.

    A last, smaller batch is filled up to the size of the first one, so that nothing is compiled
    for it and every device gets its part; the rows that fill it are taken off again.

    Args:
        call: A function from `compile_model`.
        batches: ``[batch, …]`` float32.
    """
    size = 0
    for batch in batches:
        size = size or len(batch)
        yield call(fill_up(batch, size))[0][: len(batch)]


def fill_up(batch: np.ndarray, size: int) -> np.ndarray:
    """Repeat a batch's last row until it has a size."""
    missing = size - len(batch)
    return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch


def caller(model: keras.Model) -> Callable[[Any], list[Any]]:
    """Return a model in inference mode, for TensorFlow to trace or to run layer by layer.

    Returns:
        A function from a tensor to the list of outputs as float32 tensors.
    """
    import tensorflow as tf

    def call(batch: tf.Tensor) -> list[tf.Tensor]:
        outputs = keras.tree.flatten(model(batch, training=False))
        return [tf.cast(output, tf.float32) for output in outputs]

    return call


def _on_tensorflow(model: keras.Model, is_traced: bool) -> Call:
    import tensorflow as tf

    run = caller(model)
    if is_traced:
        run = tf.function(run, autograph=False, reduce_retracing=True)
    return lambda batch: [output.numpy() for output in run(tf.constant(batch))]


def _on_jax(model: keras.Model) -> Call:
    import jax

    @jax.jit
    def run(trainable: list[Any], others: list[Any], batch: Any) -> list[Any]:
        outputs, _ = model.stateless_call(trainable, others, batch, training=False)
        return [output.astype("float32") for output in keras.tree.flatten(outputs)]

    mesh = jax.sharding.Mesh(np.array(list_devices()), ("batch",))
    alike = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    divided = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))

    def here(variable: keras.Variable) -> Any:
        """Give a variable on the devices of this process; every process has its own copy."""
        value = variable.value
        if value.sharding.is_fully_addressable:
            return jax.device_put(value, alike)
        used = set(mesh.devices.flat)
        parts = [shard.data for shard in value.addressable_shards if shard.device in used]
        return jax.make_array_from_single_device_arrays(value.shape, alike, parts)

    def call(batch: np.ndarray) -> list[np.ndarray]:
        trainable = [here(variable) for variable in model.trainable_variables]
        others = [here(variable) for variable in model.non_trainable_variables]
        whole = fill_up(batch, len(batch) + -len(batch) % mesh.size)
        outputs = run(trainable, others, jax.device_put(whole, divided))
        return [np.asarray(output)[: len(batch)] for output in outputs]

    return call
