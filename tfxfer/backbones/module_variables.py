"""The variables of a loaded SavedModel, with unique names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf


@dataclass(frozen=True)
class Variable:
    """A variable of a module.

    Attributes:
        name: Its path, which is unique in the module; dots separate the parts.
        shape, dtype: The shape and dtype of its value.
        is_trainable: Whether the module says that it may be trained.
        value: The variable itself.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_trainable: bool
    value: tf.Variable


def list_variables(loaded: Any, functions: Sequence[Any]) -> tuple[Variable, ...]:
    """List a module's variables in its own order, the trainable ones first.

    Args:
        loaded: The object from `tf.saved_model.load`.
        functions: The concrete functions of its call, whose variables are taken if the module
            lists none.
    """
    used = {id(v): v for function in functions for v in function.graph.variables}
    given = list(getattr(loaded, "variables", None) or used.values())
    trainable = getattr(loaded, "trainable_variables", None)
    if trainable is None:
        trainable = [variable for variable in given if variable.trainable]
    trains = {id(variable) for variable in trainable}
    ordered = [*trainable, *(variable for variable in given if id(variable) not in trains)]
    names = _name_variables(loaded, ordered)
    return tuple(
        Variable(name, tuple(v.shape), v.dtype.name, id(v) in trains, v)
        for name, v in zip(names, ordered, strict=True)
    )


def _name_variables(loaded: Any, variables: Sequence[tf.Variable]) -> list[str]:
    """Name the variables by their own names if these are unique, else by their places."""
    own = [variable.name.split(":")[0].replace("/", ".") for variable in variables]
    if len(set(own)) == len(own):
        return own
    places = _find_places(loaded)
    names: list[str] = []
    for variable, name in zip(variables, own, strict=True):
        candidate = places.get(id(variable), name)
        while candidate in names:
            candidate = f"{candidate}_"
        names.append(candidate)
    return names


def _find_places(loaded: Any) -> dict[int, str]:
    """Return the place of each object in a module; names are preferred to positions in lists."""
    view = tf.train.TrackableView(loaded)
    places: dict[int, tuple[str, ...]] = {id(loaded): ()}
    queue = [loaded]
    while queue:
        parent = queue.pop(0)
        for name, child in view.children(parent).items():
            place = (*places[id(parent)], str(name).replace("/", "."))
            known = places.get(id(child))
            if known is None:
                queue.append(child)
            if known is None or _vagueness(place) < _vagueness(known):
                places[id(child)] = place
    return {key: ".".join(place) for key, place in places.items()}


def _vagueness(place: tuple[str, ...]) -> tuple[int, int]:
    return sum(part.isdecimal() for part in place), len(place)
