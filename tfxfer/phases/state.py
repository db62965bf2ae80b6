"""Files of weights, each with what they are: there as a whole, or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfxfer.errors import first_line

_ABOUT = "about"


class StateError(Exception):
    """A file is damaged, or holds the weights of something else."""


@dataclass(frozen=True)
class State:
    """What a file holds.

    Attributes:
        groups: arrays by what they are of, in the order in which they were written.
        about: JSON values.
    """

    groups: dict[str, list[np.ndarray]]
    about: dict[str, Any]


def write_state(
    path: Path, groups: Mapping[str, Sequence[Any]], about: Mapping[str, Any] | None = None
) -> None:
    """Write arrays, or what becomes one; the file is replaced when all of it is on the disk.

    Args:
        groups: names without digits.
        about: JSON values.
    """
    arrays = {
        f"{name}{number}": np.asarray(value)
        for name, values in groups.items()
        for number, value in enumerate(values)
    }
    arrays[_ABOUT] = np.frombuffer(json.dumps(dict(about or {})).encode(), np.uint8)
    staging = path.with_name(f".{path.name}")
    with open(staging, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())  # else the name could outlive a power cut, and the content not
    staging.replace(path)


def read_state(path: Path) -> State:
    """Read what `write_state` wrote; each array has a checksum.

    Raises:
        StateError: it is damaged.
    """
    groups: dict[str, list[np.ndarray]] = {}
    try:
        with np.load(path, allow_pickle=False) as held:
            for name in held.files:
                groups.setdefault(name.rstrip("0123456789"), []).append(held[name])
        about = dict(json.loads(groups.pop(_ABOUT)[0].tobytes()))
    except Exception as error:  # whatever NumPy and zipfile make of a damaged file
        raise StateError(f"{path.name} is damaged: {first_line(error)}") from error
    return State(groups, about)


def check_shapes(state: State, expected: Mapping[str, Sequence[Any]]) -> None:
    """Compare the shapes of some groups.

    Args:
        expected: by group, whatever has a shape.

    Raises:
        StateError: they differ.
    """
    for name, values in expected.items():
        held = [tuple(array.shape) for array in state.groups.get(name, ())]
        if held != [tuple(value.shape) for value in values]:
            raise StateError(f"its arrays {name!r} have other shapes")


def assign_state(state: State, variables: Mapping[str, Sequence[Any]]) -> None:
    """Give variables, by group, the values that a file holds; all of them or none.

    Raises:
        StateError: some have other shapes.
    """
    check_shapes(state, variables)
    for name, values in variables.items():
        for variable, value in zip(values, state.groups[name], strict=True):
            variable.assign(value)
