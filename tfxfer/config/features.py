"""How frozen layers run and on which devices. Imports no TensorFlow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from tfxfer.config.places import is_address
from tfxfer.config.table import Table, absolute
from tfxfer.errors import InputError


class FeaturesConfig(Table):
    """How the frozen layers run, and what is kept of them."""

    engine: Literal["auto", "openvino", "tensorflow", "xla", "jax"] = "auto"
    cache_dir: str | None = None  # None: $TFXFER_CACHE or ~/.cache/tfxfer
    max_disk_gb: float | None = Field(None, ge=0, le=1e6)  # of the cache; None: by free space

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
    """What a run is spread over; see `machine/strategy.py`."""

    # "auto": all GPUs, TPU cores or virtual CPU devices of the machine; "single": the first one.
    strategy: Literal["auto", "single"] = "auto"
