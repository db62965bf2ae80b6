"""What trains, and what is set before it does. Imports TensorFlow and JAX when called."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

_DETERMINISTIC_XLA = "--xla_gpu_deterministic_ops=true"


@dataclass(frozen=True)
class Device:
    """What Keras's backend trains on.

    Attributes:
        name: of one of them, such as ``"NVIDIA H100"``.
        count: how many there are.
        compute_capability: of an NVIDIA GPU, such as ``(9, 0)``; None: of others.
    """

    kind: Literal["cpu", "gpu", "tpu"]
    name: str
    count: int = 1
    compute_capability: tuple[int, int] | None = None


def find_device() -> Device:
    """Ask Keras's backend what it trains on; this may start the backend."""
    import keras

    return _find_in_jax() if keras.backend.backend() == "jax" else _find_in_tensorflow()


def share_gpus() -> None:
    """Let TensorFlow take a GPU's memory as it needs it; where JAX trains, none of it.

    TensorFlow decodes pictures in the process in which JAX trains, and takes all of a GPU by
    itself. Where it has begun to use the GPUs, they stay as whoever imported it wanted them.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return  # Keras, which not every command needs, takes a second to import
    import keras

    with suppress(RuntimeError):
        if keras.backend.backend() != "tensorflow":
            tf.config.set_visible_devices([], "GPU")
            return
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)


def make_deterministic() -> None:
    """Let two trainings on one machine give the same weights, bit for bit.

    It holds for the rest of the process. XLA, by which JAX trains, reads its part when it first
    compiles: on a GPU under JAX, the first training of a process decides.
    """
    import tensorflow as tf

    # Under JAX too: it is TensorFlow that decodes and changes the pictures.
    tf.config.experimental.enable_op_determinism()
    flags = os.environ.get("XLA_FLAGS", "")
    if _DETERMINISTIC_XLA not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_DETERMINISTIC_XLA}".strip()


def _find_in_tensorflow() -> Device:
    import tensorflow as tf

    if tpus := tf.config.list_physical_devices("TPU"):
        return Device("tpu", "TPU", len(tpus))
    if gpus := tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpus[0])
        name, capability = details.get("device_name", "unknown"), details.get("compute_capability")
        return Device("gpu", name, len(gpus), capability)
    return _find_cpu()


def _find_in_jax() -> Device:
    import jax

    devices = jax.devices()
    if devices[0].platform not in ("gpu", "tpu"):
        return _find_cpu(len(devices))
    capability = _read_capability(getattr(devices[0], "compute_capability", None))
    return Device(devices[0].platform, devices[0].device_kind, len(devices), capability)


def _find_cpu(count: int = 1) -> Device:
    return Device("cpu", f"{os.cpu_count()} cores", count)


def _read_capability(text: Any) -> tuple[int, int] | None:
    """Read ``"9.0"``; AMD's GPUs have names such as ``"gfx942"`` there."""
    major, _, minor = str(text).partition(".")
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else None
