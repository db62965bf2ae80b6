"""The state of the process: messages, devices, memory. Functions import TensorFlow when called."""

from __future__ import annotations

import gc
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import tfxfer
from tfxfer.errors import InputError
from tfxfer.machine import devices
from tfxfer.machine.keras_settings import check_keras_settings

_FORKED: list[bool] = []  # It has an entry in a process that was forked while TensorFlow ran.
_REPORTED_PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy")

_CGROUP = Path("/sys/fs/cgroup")  # This holds the limits of a container.


def _note_fork() -> None:
    """Note that this process was forked from one whose TensorFlow has threads, which are gone."""
    context = sys.modules.get("tensorflow.python.eager.context")
    current = context and context.context_safe()
    if getattr(current, "_initialized", False):
        _FORKED.append(True)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_note_fork)


def import_tensorflow() -> None:
    """Import TensorFlow without its start-up messages, which say nothing that a user can act on.

    Its C++ parts write to the process's standard error before any log level is read. A failing
    import still raises its error. GPUs are set up as `devices.share_gpus` says.

    Raises:
        InputError: Keras is set up in a way that does not fit, or this process was forked from one
            in which TensorFlow runs.
    """
    check_keras_settings()
    if _FORKED:
        raise InputError(
            "TensorFlow does not run in a process that is forked from one in which it runs "
            "already: it would wait for ever. Received: such a process. Start it with "
            "multiprocessing.get_context('spawn'), or load the model in the new process alone."
        )
    # JAX reads this when Keras imports it. It leaves TensorFlow room on the GPU.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if "tensorflow" not in sys.modules:
        _import_silently()
    devices.share_gpus()


def _import_silently() -> None:
    # At level 2, TensorFlow reports as an error that a CPU has no half-precision arithmetic. Level
    # 3 hides nothing that matters, because real errors are raised.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silent_stderr(), _nothing_collected():
        import absl.logging
        import tensorflow as tf

        tf.config.list_physical_devices()
    tf.get_logger().setLevel("ERROR")
    absl.logging.set_verbosity(absl.logging.ERROR)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep the garbage collector away from the objects that are made inside the block, for good.

    TensorFlow makes a million objects that stay. Going through them again and again takes a fifth
    of the import's time, and a third of a second each time afterwards.
    """
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Point file descriptor 2 at the null device: native code does not write to `sys.stderr`."""
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def describe_device() -> str:
    """Name the device that trains, such as ``"GPU: NVIDIA H200"`` or ``"CPU: 2 cores"``."""
    device = devices.find_device()
    several = f"{device.count} × " if device.count > 1 and device.kind != "cpu" else ""
    return f"{device.kind.upper()}: {several}{device.name}"


def list_versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that decide a result, and Keras's backend."""
    import keras

    backend = keras.backend.backend()
    reported = (*_REPORTED_PACKAGES, *(["jax"] if backend == "jax" else []))
    own = {"python": platform.python_version(), "tfxfer": tfxfer.__version__, "backend": backend}
    return own | {package: version(package) for package in reported}


def has_accelerator() -> bool:
    """Return whether batches lie in a GPU's or TPU's memory; its allocator reports a shortage."""
    return devices.find_device().kind != "cpu"


def available_memory_bytes() -> int:
    """Return the bytes of memory, of the machine or container, that the process can still take."""
    import psutil

    available = int(psutil.virtual_memory().available)
    limit, used = (_read_number(_CGROUP / name) for name in ("memory.max", "memory.current"))
    if limit is None or used is None:
        return available
    # The cached files count as used memory, but the kernel drops them when memory is asked for.
    return max(0, min(available, limit - used + _read_cached_bytes(_CGROUP / "memory.stat")))


def _read_cached_bytes(path: Path) -> int:
    try:
        lines = dict(line.split() for line in path.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(lines.get("inactive_file", 0))


def _read_number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
