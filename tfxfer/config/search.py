"""The table ``[search]`` of a preset, which says what is varied. This imports no TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from tfxfer.config.table import Table
from tfxfer.errors import InputError

# These keys name the data, the store and the like, which are the same in all trials.
_FIXED = ("data", "features", "seed", "summary", "search", "phases")
_FREE = ("data.batch_size", "data.balance", "phases.")

# What can propose search trials; `search/oracles.py` has a class for each.
Tuner = Literal["random", "hyperband", "bayesian", "grid"]
TUNERS: tuple[str, ...] = get_args(Tuner)

Choice = tuple[str, ...] | tuple[int, ...] | tuple[float, ...] | tuple[bool, ...]


class Range(Table):
    """Numbers from `low` to `high`; with `log`, all orders of magnitude are equally likely."""

    low: float
    high: float
    log: bool = False
    steps: int = Field(5, ge=2)  # the number of values in a grid

    @model_validator(mode="after")
    def _rises(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise InputError(
                "A range goes from a low number to a high one, and with log=true from above 0. "
                f"Received: low={self.low:g}, high={self.high:g}, log={self.log}."
            )
        return self

    def spread(self) -> list[float]:
        """Return `steps` values for a grid, from end to end."""
        low, high = (math.log(end) if self.log else end for end in (self.low, self.high))
        points = [low + (high - low) * step / (self.steps - 1) for step in range(self.steps)]
        return [math.exp(point) if self.log else point for point in points]


Axis = Choice | Range


class SearchConfig(Table):
    """The axes of a search; `tfxfer.search.space` fills in values of None."""

    # The depths of the last phase are numbers of blocks from the top, "all", or names of blocks.
    unfreeze: tuple[int | str, ...] | None = Field(None, min_length=1)
    # Axes are nested tables with a config's keys; each is a list of values, or low, high and log.
    axes: dict[str, Any] | None = None

    @field_validator("axes")
    @classmethod
    def _are_axes(cls, axes: dict[str, Any] | None) -> dict[str, Any] | None:
        for key, value in flatten(axes or {}):
            read_axis(key, value)
        return axes


def flatten(axes: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield axes by dotted key."""
    for key, value in axes.items():
        if isinstance(value, Mapping) and not {"low", "high"} & set(value):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read_axis(key: str, value: Any) -> Axis:
    """Return the axis that a preset's value describes.

    Raises:
        InputError: The value describes no axis, or its key cannot be searched.
    """
    if key.startswith(_FIXED) and not key.startswith(_FREE):
        raise InputError(
            "An axis of a search is a key of [backbone], [head], [augmentation] or a phase, "
            f"data.batch_size or data.balance. Received: {key!r}. Set it for all trials instead "
            "(--set), or search it in calls of their own."
        )
    if key.endswith(".unfreeze"):
        raise InputError(
            f"Depths are searched by search.unfreeze = [0, 2, 4]. Received: the axis {key!r}. "
            "Move its values there."
        )
    if isinstance(value, Mapping):
        return Range(**value)
    is_list = isinstance(value, list | tuple) and len(value) > 0
    kinds = {type(each) for each in value} if is_list else set()
    if kinds == {int, float}:
        return tuple(float(each) for each in value)
    if len(kinds) == 1 and kinds <= {str, int, float, bool}:
        return tuple(value)
    raise InputError(
        "An axis of a search is a list of values of one kind, or {low = 1e-4, high = 1e-2, "
        f"log = true}}. Received: {key} = {value!r}."
    )
