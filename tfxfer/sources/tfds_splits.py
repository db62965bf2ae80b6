"""The examples of a TensorFlow Dataset that a split expression stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any, NamedTuple

from tfxfer.config.data import DataConfig
from tfxfer.errors import InputError, first_line, nearest

_SPLITS = ("train", "validation", "test")


class Part(NamedTuple):
    """A range of examples in one file, from `first` to just before `end`."""

    file: str
    first: int
    end: int


def choose_splits(builder: Any, config: DataConfig) -> tuple[dict[str, str], list[str]]:
    """Return the expression of each split: as configured, else the data set's split of that name.

    A split of the data set that shares pictures with a configured expression is not used.

    Returns:
        The expressions by split, and notes for the user.

    Raises:
        InputError: There is no such split, a split has no pictures, or splits share pictures.
    """
    available = list(builder.info.splits)
    stated = {name: getattr(config.split, name) for name in _SPLITS}
    chosen = {name: expression for name, expression in stated.items() if expression}
    parts = {name: find_parts(builder, text, name) for name, text in chosen.items()}
    _check_overlaps(chosen, parts)
    notes = []
    for name in _SPLITS:
        if name in chosen or name not in available:
            continue
        own = find_parts(builder, name, name)
        taken = [other for other in parts if _overlap(own, parts[other])]
        if taken:
            notes.append(f"the data set's split {name} is not used: {taken[0]} shares pictures")
        else:
            chosen[name], parts[name] = name, own
    if "train" not in chosen:
        raise InputError(
            "A TensorFlow Dataset needs a split `train`, or data.split.train. Received: "
            f"{builder.info.full_name} with {', '.join(available)}. "
            "Set data.split.train to an expression such as "
            f"{available[0] + '[:80%]' if available else 'train[:80%]'!r}."
        )
    return {name: chosen[name] for name in _SPLITS if name in chosen}, notes


def find_parts(builder: Any, expression: str, name: str) -> list[Part]:
    """Return the examples that an expression stands for, in the order in which they are read."""
    available = list(builder.info.splits)
    try:
        instructions = builder.info.splits[expression].file_instructions
    # A bad name or expression raises ValueError, KeyError or AssertionError.
    except Exception as error:
        words = re.findall(r"(?:^|\+)\s*([\w-]+)", expression)
        unknown = [word for word in words if word not in (*available, "all")]
        hint = nearest(unknown[0], available) if unknown else ""
        raise InputError(
            f"data.split.{name} must be an expression over the splits {', '.join(available)}, such "
            f"as '{available[0]}[:80%]'. Received: {expression!r}.{hint} ({first_line(error)})"
        ) from error
    parts = [Part(i.filename, i.skip, i.skip + i.take) for i in instructions if i.take]
    if not parts:
        raise InputError(
            f"Every split needs pictures. Received: data.split.{name}={expression!r}, which holds "
            "none. Take a larger share."
        )
    return parts


def name_examples(builder: Any, expression: str) -> tuple[str, ...]:
    """Name an expression's pictures by split and place; a whole split needs no names.

    Pictures of a whole split are named elsewhere, by the order in which they are read; in a split
    of one file, this gives the same names. Pictures of a split of several files are named by file
    and place.
    """
    if expression in list(builder.info.splits):
        return ()
    prefixes = {}
    for split in builder.info.splits:
        instructions = builder.info.splits[split].file_instructions
        for each in instructions:
            file = each.filename.replace("\\", "/").rsplit("/", 1)[-1]
            prefixes[each.filename] = split if len(instructions) == 1 else file
    return tuple(
        f"{prefixes[part.file]}/{place}"
        for part in find_parts(builder, expression, "train")
        for place in range(part.first, part.end)
    )


def _overlap(some: list[Part], others: list[Part]) -> int:
    """Return how many examples two lists share."""
    return sum(
        max(0, min(a.end, b.end) - max(a.first, b.first))
        for a in some
        for b in others
        if a.file == b.file
    )


def _check_overlaps(chosen: Mapping[str, str], parts: Mapping[str, list[Part]]) -> None:
    for one, other in combinations(parts, 2):
        if shared := _overlap(parts[one], parts[other]):
            raise InputError(
                "Splits must not share pictures: what was trained on proves nothing. Received: "
                f"split.{one}={chosen[one]!r} and split.{other}={chosen[other]!r}, which share "
                f"{shared:,}. Let one begin where the other ends, such as 'train[:80%]' and "
                "'train[80%:]'."
            )
