"""The settings of frozen layers and of devices. This module imports no TensorFlow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from tfxfer.config.places import is_address
from tfxfer.config.table import Table, absolute
from tfxfer.errors import InputError

# What can run frozen layers; `features/engines.py` has a function for each.
EngineName = Literal["openvino", "openvino_float32", "tensorflow", "xla", "jax"]


class FeaturesConfig(Table):
    """The engine of frozen layers, and the cache of their features."""

    engine: Literal["auto"] | EngineName = "auto"
    cache_dir: str | None = None  # None takes $TFXFER_CACHE or ~/.cache/tfxfer.
    max_disk_gb: float | None = Field(None, ge=0, le=1e6)  # None decides by the free space.

    @field_validator("cache_dir")
    @classmethod
    def _isabsolute(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise InputError("cache_dir must name a folder. Received: ''. Leave it out instead.")
        if value is not None and is_address(value):
            raise InputError(
                "cache_dir must be a folder of this machine: features are read as files. "
                f"Received: {value!r}. Name such a folder."
            )
        return None if value is None else absolute(value)


class DevicesConfig(Table):
    """The devices that a run is spread over (`machine/strategy.py`)."""

    # "auto" takes all GPUs, TPU cores or virtual CPU devices of the machine, "single" the first.
    strategy: Literal["auto", "single"] = "auto"
