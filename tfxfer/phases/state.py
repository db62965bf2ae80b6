"""Files of weights with a description, which are written completely or not at all."""

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
    """An error which says that a file is damaged, or holds the weights of something else."""


@dataclass(frozen=True)
class State:
    """The content of a file.

    Attributes:
        groups: The arrays of each group, in the order in which they were written.
        about: JSON values that describe them.
    """

    groups: dict[str, list[np.ndarray]]
    about: dict[str, Any]


def write_state(
    path: Path, groups: Mapping[str, Sequence[Any]], about: Mapping[str, Any] | None = None
) -> None:
    """Write groups of arrays; the file is replaced when the new one is completely on the disk.

    Args:
        path: The file.
        groups: Values that can become arrays, by the name of their group, which has no digits.
        about: JSON values that describe them.
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
        os.fsync(file.fileno())  # After a power cut, the new name must not have old content.
    staging.replace(path)


def read_state(path: Path) -> State:
    """Read a file of `write_state`, in which each array has a checksum.

    Raises:
        StateError: The file is damaged.
    """
    groups: dict[str, list[np.ndarray]] = {}
    try:
        # NumPy leaves a file that it has opened itself open if it is damaged.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as held:
            for name in held.files:
                groups.setdefault(name.rstrip("0123456789"), []).append(held[name])
        about = dict(json.loads(groups.pop(_ABOUT)[0].tobytes()))
    except Exception as error:  # NumPy and zipfile raise errors of many types for damaged files.
        raise StateError(f"{path.name} is damaged: {first_line(error)}") from error
    return State(groups, about)


def check_shapes(state: State, expected: Mapping[str, Sequence[Any]]) -> None:
    """Compare the shapes of some groups with expected ones.

    Args:
        state: The content of a file.
        expected: Objects with a shape, by group.

    Raises:
        StateError: The shapes differ.
    """
    for name, values in expected.items():
        held = [tuple(array.shape) for array in state.groups.get(name, ())]
        if held != [tuple(value.shape) for value in values]:
            raise StateError(f"its arrays {name!r} have other shapes")


def assign_state(state: State, variables: Mapping[str, Sequence[Any]]) -> None:
    """Assign the values of a file to variables, by group; assign all of them or none.

    Raises:
        StateError: Some have other shapes.
    """
    check_shapes(state, variables)
    for name, values in variables.items():
        for variable, value in zip(values, state.groups[name], strict=True):
            variable.assign(value)
