"""The settings of the head. This module imports no TensorFlow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tfxfer.config.table import Table
from tfxfer.errors import InputError


class HeadConfig(Table):
    """The settings of the head: pooling, then layers up to the class probabilities.

    Example:
        >>> import tfxfer
        >>> tfxfer.HeadConfig(kind="mlp", hidden_units=256).dropout
        0.2
    """

    kind: Literal["linear", "mlp"] = "linear"
    pooling: Literal["avg", "max", "avg_max"] = "avg"
    # The head reads the averaged outputs of so many blocks from the top (`backbones/levels.py`).
    levels: int = Field(1, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    hidden_units: int = Field(512, ge=1)  # the width of the "mlp" head

    @model_validator(mode="after")
    def _levels_are_averaged(self) -> HeadConfig:
        if self.levels > 1 and self.pooling != "avg":
            raise InputError(
                "A head that reads several blocks takes their averages. Received: "
                f"levels={self.levels}, pooling={self.pooling!r}. Take pooling='avg', or levels=1."
            )
        return self
