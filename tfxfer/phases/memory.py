"""The error for memory that runs out during training, which suggests a smaller batch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from tfxfer.errors import InputError, find_full_disk


@contextmanager
def memory_errors(batch_size: int) -> Iterator[None]:
    """Turn a backend's out-of-memory error into one that names a batch to try."""
    try:
        yield
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        raise out_of_memory(batch_size, max(1, batch_size // 2)) from error


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return find_full_disk(error) is None  # TensorFlow has one error for both.
    if isinstance(error, tf.errors.InternalError):
        # TensorFlow says this if a batch cannot be copied to a full GPU.
        return "Dst tensor is not initialized" in str(error)
    jax = sys.modules.get("jax")
    is_of_jax = jax is not None and isinstance(error, jax.errors.JaxRuntimeError)
    return is_of_jax and "RESOURCE_EXHAUSTED" in str(error)


def out_of_memory(batch_size: int, suggestion: int) -> InputError:
    """Return the error for a batch that does not fit in memory."""
    return InputError(
        f"A batch and what training keeps of it must fit in memory. Received: "
        f"data.batch_size={batch_size}. Try --set data.batch_size={suggestion}, fewer unfrozen "
        "blocks or smaller pictures (--set backbone.image_size_px=…)."
    )
