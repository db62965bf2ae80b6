"""The devices that train, and their settings. Functions import TensorFlow and JAX when called."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

_DETERMINISTIC_XLA = "--xla_gpu_deterministic_ops=true"


@dataclass(frozen=True)
class Device:
    """The devices that Keras's backend trains on.

    Attributes:
        name: The name of one device, such as ``"NVIDIA H100"``.
        count: How many such devices there are.
        compute_capability: The compute capability of an NVIDIA GPU, such as ``(9, 0)``; None for
            all other devices.
    """

    kind: Literal["cpu", "gpu", "tpu"]
    name: str
    count: int = 1
    compute_capability: tuple[int, int] | None = None


def find_device() -> Device:
    """Ask Keras's backend which devices it trains on; this may start the backend."""
    import keras

    return _find_in_jax() if keras.backend.backend() == "jax" else _find_in_tensorflow()


def share_gpus() -> None:
    """Let TensorFlow take GPU memory as it needs it, and none at all if JAX trains.

    TensorFlow decodes items in the process in which JAX trains, and by default it takes all of
    a GPU's memory. If TensorFlow is already using the GPUs, their settings stay as they are.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return  # Keras takes a second to import, and not every command needs it.
    import keras

    with suppress(RuntimeError):
        if keras.backend.backend() != "tensorflow":
            tf.config.set_visible_devices([], "GPU")
            return
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)


def make_deterministic() -> None:
    """Let two trainings on one machine give the same weights, bit for bit.

    This holds for the rest of the process. XLA, which compiles for JAX, reads its flags when it
    first compiles: on a GPU under JAX, the first training of a process decides.
    """
    import tensorflow as tf

    # This is needed under JAX too, because TensorFlow decodes and augments the items.
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
    """Read a text such as ``"9.0"``; None for others, such as AMD's ``"gfx942"``."""
    major, _, minor = str(text).partition(".")
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else None
