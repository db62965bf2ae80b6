"""Labels as sources give them: a list of class numbers or names for each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tfxfer.errors import InputError
from tfxfer.task import Labels, Task, Tasks

# The labels of one picture: numbers or names of classes.
LabelList = Sequence[int | str]
_SHOWN = 10


class Listed(NamedTuple):
    """Labels as a source has listed them.

    Attributes:
        classes: class names.
        task: by whether any item has several labels.
        labels: by split.
    """

    classes: tuple[str, ...]
    task: Task
    labels: dict[str, Labels]


def to_labels(
    listed: Mapping[str, Sequence[LabelList]], tasks: Tasks, class_names: Sequence[str] = ()
) -> Listed:
    """Do what `to_arrays` does, and let the task read the arrays.

    Args:
        tasks: the rows of tasks.
    """
    classes, name, arrays = to_arrays(listed, class_names)
    task = tasks[name]
    return Listed(classes, task, {split: task.read(array) for split, array in arrays.items()})


def to_arrays(
    listed: Mapping[str, Sequence[LabelList]], class_names: Sequence[str] = ()
) -> tuple[tuple[str, ...], str, dict[str, np.ndarray]]:
    """Name the classes, and turn the labels of every split into an array.

    The task has several labels a picture if any picture has two or more, or if the labels are rows
    of zeros and ones, one for each of `class_names`. A label that is listed twice counts once.

    Args:
        listed: The labels of each picture, by split.
        class_names: The classes in the order of their numbers. If it is empty, the classes are the
            names in alphabetical order, or the numbers that occur.

    Returns:
        The class names, the name of the task, and the labels by split: ``[pictures]`` int64 class
        numbers, or ``[pictures, classes]`` int8, 0 or 1, if pictures have several labels.

    Raises:
        InputError: A label is none of the classes, or a picture has none where one is needed.
    """
    rows = {name: [tuple(row) for row in split] for name, split in listed.items()}
    everything = [row for split in rows.values() for row in split]
    if _are_indicators(everything):
        width = len(everything[0])
        if width != len(class_names):
            raise InputError(
                "Rows of zeros and ones need data.reading.class_names, a name for each place. "
                f"Received: rows of {width}, {len(class_names)} names. Name them."
            )
        rows = {n: [tuple(np.flatnonzero(r).tolist()) for r in split] for n, split in rows.items()}
        several = True
    else:
        several = any(len(set(row)) > 1 for row in everything)
    classes, places = _name_classes(everything if not several else _flatten(rows), class_names)
    if several:
        arrays = {n: _to_rows(split, places, len(classes)) for n, split in rows.items()}
        return classes, "several", arrays
    _check_none_is_missing(rows)
    return (
        classes,
        "classes",
        {
            name: np.array([places[row[0]] for row in split], np.int64)
            for name, split in rows.items()
        },
    )


def _flatten(rows: Mapping[str, Sequence[LabelList]]) -> list[LabelList]:
    return [row for split in rows.values() for row in split]


def _are_indicators(rows: Sequence[LabelList]) -> bool:
    """Return whether labels are rows of zeros and ones, not lists of class numbers."""
    widths = {len(row) for row in rows}
    if len(widths) != 1 or min(widths) < 2:
        return False
    # A list of class numbers that holds 0 or 1 twice makes no sense, so these are indicators.
    return all(value in (0, 1) for row in rows for value in row) and any(
        len(set(row)) < len(row) for row in rows
    )


def _name_classes(
    rows: Sequence[LabelList], class_names: Sequence[str]
) -> tuple[tuple[str, ...], dict[int | str, int]]:
    """Return the class names, and the place of every label among them."""
    found = {label for row in rows for label in row}
    are_names = any(isinstance(label, str) for label in found)
    if not class_names:
        order = sorted(found, key=str) if are_names else sorted(found)
        if order and not are_names and int(order[0]) < 0:
            _refuse(order[:1], "class numbers from 0 up")
        return tuple(map(str, order)), {label: place for place, label in enumerate(order)}
    if len(set(class_names)) != len(class_names):
        raise InputError(
            f"data.reading.class_names must differ. Received: {', '.join(class_names)}. Name each "
            "once."
        )
    names: list[int | str] = [*class_names] if are_names else [*range(len(class_names))]
    places = {label: place for place, label in enumerate(names)}
    unknown = sorted(found - set(places), key=str)
    if unknown:
        allowed = ", ".join(class_names[:_SHOWN]) if are_names else f"0 to {len(class_names) - 1}"
        _refuse(unknown, f"among data.reading.class_names ({allowed})")
    return tuple(map(str, class_names)), places


def _refuse(labels: Sequence[int | str], allowed: str) -> None:
    shown = ", ".join(repr(label) for label in labels[:_SHOWN])
    hint = (
        "Numbers that start at 1 need a name for 0 as well; pictures without a label must go."
        if isinstance(labels[0], int)
        else "Add the names, or correct the labels."
    )
    raise InputError(f"Labels must be {allowed}. Received: {shown}. {hint}")


def _check_none_is_missing(rows: Mapping[str, Sequence[LabelList]]) -> None:
    for name, split in rows.items():
        without = [place for place, row in enumerate(split) if not row]
        if without:
            raise InputError(
                "Every picture needs a label where none has several. Received: "
                f"{len(without)} of {len(split):,} pictures of the {name} split without one, the "
                f"first at place {without[0]}. Label them, or leave them out."
            )


def _to_rows(
    split: Sequence[LabelList], places: Mapping[int | str, int], class_count: int
) -> np.ndarray:
    labels = np.zeros((len(split), class_count), np.int8)
    for place, row in enumerate(split):
        labels[place, [places[label] for label in row]] = 1
    return labels
