"""The base of every table of a config. This module imports no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from tfxfer.errors import InputError


def absolute(path: str) -> str:
    """Return a path as absolute, so that a saved config works from any folder."""
    return str(Path(path).expanduser().absolute())


class Table(BaseModel):
    """A table of values that knows its keys and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_no_truth_values(cls, values: Any) -> Any:
        """Refuse true and false for numbers, because pydantic would read true as 1."""
        for key, value in values.items() if isinstance(values, dict) else ():
            field = cls.model_fields.get(key)
            if isinstance(value, bool) and field is not None and field.annotation is not bool:
                raise InputError(f"{key} must not be true or false. Received: {key}={value}.")
        return values
