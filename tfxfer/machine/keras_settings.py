"""Keras's settings of the whole process, which a user's file or notebook may have changed.

This module imports Keras only when `float32_policy` is used.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfxfer.errors import InputError

# The values that Keras's settings may have here.
_ALLOWED = {
    "backend": ("tensorflow", "jax"),
    "image_data_format": ("channels_last",),
    "floatx": ("float32",),
}


def check_keras_settings() -> None:
    """Refuse settings of Keras under which networks are built wrongly, or not at all.

    Raises:
        InputError: The backend is one that this package does not run on, the channels of pictures
            come first, or numbers are not float32 by default.
    """
    found = _read_file()
    if not isinstance(found, dict):
        raise InputError(
            f"Keras's settings must be a JSON object, {{…}}. Received: {str(_file())!r} with "
            f"{type(found).__name__}. Remove the file, or name another folder of Keras's settings "
            "in the environment variable KERAS_HOME."
        )
    received = {name: (value, str(_file())) for name, value in found.items()}
    if backend := os.environ.get("KERAS_BACKEND"):
        received["backend"] = (backend, "the environment variable KERAS_BACKEND")
    if keras := sys.modules.get("keras"):
        for name in ("image_data_format", "floatx"):
            received[name] = (getattr(keras.config, name)(), f"keras.config.{name}()")
    for name, allowed in _ALLOWED.items():
        value, where = received.get(name, (allowed[0], ""))
        if value not in allowed:
            raise InputError(
                f"Keras's {name} must be {' or '.join(allowed)}. Received: {value!r} from {where}. "
                f"Set it to {allowed[0]} there, or name another folder of Keras's settings in the "
                "environment variable KERAS_HOME."
            )


def _file() -> Path:
    home = os.environ.get("KERAS_HOME")
    return (Path(os.path.expanduser(home)) if home else Path.home() / ".keras") / "keras.json"


def _read_file() -> object:
    try:
        return json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):  # Keras does not read such a file either.
        return {}


@contextmanager
def float32_policy() -> Iterator[None]:
    """Build layers in float32 inside a ``with`` block, whatever policy a notebook has set.

    The user's policy is the same afterwards.
    """
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
