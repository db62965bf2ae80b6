"""What the head is made of. Imports no TensorFlow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tfxfer.config.table import Table
from tfxfer.errors import InputError


class HeadConfig(Table):
    """What stands on the backbone: pooling, then layers up to the class probabilities."""

    kind: Literal["linear", "mlp"] = "linear"
    pooling: Literal["avg", "max", "avg_max"] = "avg"
    # Blocks from the top whose averaged outputs it reads, side by side; see backbones/levels.py.
    levels: int = Field(1, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    hidden_units: int = Field(512, ge=1)  # of the "mlp" head

    @model_validator(mode="after")
    def _levels_are_averaged(self) -> HeadConfig:
        if self.levels > 1 and self.pooling != "avg":
            raise InputError(
                "A head that reads several blocks takes their averages. Received: "
                f"levels={self.levels}, pooling={self.pooling!r}. Take pooling='avg', or levels=1."
            )
        return self
