"""The mapping from the classes of new data to those of a model, by names or by a file."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from tfxfer.errors import InputError, first_line, nearest
from tfxfer.task import Labels

LEFT_OUT = -1
_SHOWN = 20
_HOW = (
    'Rename them, or map them by --classes FILE: a TOML file with a line "NAME IN THE DATA" = '
    '"NAME IN THE MODEL" for each, where = "" leaves a class out.'
)


def read_class_map(path: str | Path) -> dict[str, str]:
    """Read a file that maps classes of data to classes of a model, or to ``""`` for none.

    Args:
        path: A TOML file or a JSON object of names, or a CSV file of two columns without a header:
            the data's name and the model's name.

    Returns:
        The model's name, or ``""`` for a class that is left out, by the data's name.

    Raises:
        InputError: The file cannot be read as its ending says, or names a class twice.
    """
    file = Path(path)
    read = _READERS.get(file.suffix.lower())
    if read is None:
        raise InputError(
            f"--classes takes a file that ends in {', '.join(_READERS)}. Received: {str(path)!r}. "
            'Write a TOML file with lines such as "Ants" = "ants".'
        )
    try:
        pairs = read(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        raise InputError(
            "--classes must be a readable file of names in UTF-8: TOML lines "
            '"Ants" = "ants", a JSON object {"Ants": "ants"}, or CSV lines Ants,ants. '
            f"Received: {str(path)!r} ({first_line(error)}). Correct it."
        ) from error
    mapping: dict[str, str] = {}
    for name, target in pairs:
        if not isinstance(target, str):
            raise InputError(
                "--classes maps a name to a name. Received: "
                f"{name!r} = {target!r} in {str(path)!r}. Put both names in double quotes."
            )
        if mapping.setdefault(name, target) != target:
            raise InputError(
                "--classes maps a class once. Received: "
                f"{name!r}, mapped to {mapping[name]!r} and to {target!r} in {str(path)!r}. "
                "Remove one of them."
            )
    return mapping


def _read_toml(text: str) -> list[tuple[str, Any]]:
    return list(tomllib.loads(text).items())


def _read_json(text: str) -> list[tuple[str, Any]]:
    # Pairs are kept, because a dictionary would forget a name that occurs twice. Lists stay lists.
    pairs = json.loads(text, object_pairs_hook=tuple)
    if not isinstance(pairs, tuple):
        raise ValueError("not a JSON object {…}")
    return list(pairs)


def _read_csv(text: str) -> list[tuple[str, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    pairs = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != 2:
            raise ValueError(f"line {reader.line_num} has {len(cells)} fields, not 2")
        pairs.append((cells[0].strip(), cells[1].strip()))
    return pairs


_READERS: dict[str, Callable[[str], list[tuple[str, Any]]]] = {
    ".toml": _read_toml,
    ".json": _read_json,
    ".csv": _read_csv,
}


def map_classes(
    labels: Labels,
    own: Sequence[str],
    model: Sequence[str],
    mapping: Mapping[str, str] | None = None,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Find each class of the data among the model's classes.

    Args:
        labels: The labels of all items. The model need not know classes without items.
        own: The data's class names, in the order of the labels' numbers.
        model: The model's class names, in the order of its outputs.
        mapping: The mapping from `read_class_map`. Classes that it does not name keep their names.

    Returns:
        ``[classes of the data]`` int64, the model's number of each class or `LEFT_OUT`; and notes
        for the user.

    Raises:
        InputError: The model has no such class, or the mapping names a class that it does not have.
    """
    places = {_plain(name): number for number, name in enumerate(model)}
    mapped = {_plain(name): target for name, target in (mapping or {}).items()}
    _check_targets(mapping or {}, places, model)
    targets = [mapped.get(_plain(name), name) for name in own]
    counts = labels.count(len(own))
    unknown = [
        name
        for name, target, count in zip(own, targets, counts, strict=True)
        if count and target and _plain(target) not in places
    ]
    if unknown:
        raise _unknown(unknown, own, model)
    numbers = [places.get(_plain(t), LEFT_OUT) if t else LEFT_OUT for t in targets]
    unused = [n for n in mapping or {} if _plain(n) not in {_plain(each) for each in own}]
    notes = []
    if unused:
        notes.append(f"--classes names what the data do not have: {_join(unused)}")
    notes += [
        f"class {name} is left out, as --classes says: {count:,} {labels.unit}"
        for name, target, count in zip(own, targets, counts, strict=True)
        if not target and count
    ]
    return np.array(numbers, np.int64), tuple(notes)


def _plain(name: str) -> str:
    """Return a name in one spelling: file systems write an umlaut as one or two characters."""
    return normalize("NFC", name)


def _check_targets(
    mapping: Mapping[str, str], places: Mapping[str, int], model: Sequence[str]
) -> None:
    for name, target in mapping.items():
        if target and _plain(target) not in places:
            raise InputError(
                f'--classes maps to the model\'s classes ({_join(model)}), or to "". Received: '
                f"{name!r} = {target!r}.{nearest(target, model)} Correct the file."
            )


def _unknown(unknown: Sequence[str], own: Sequence[str], model: Sequence[str]) -> InputError:
    lines = [f"  {name!r}{nearest(name, model)}" for name in unknown[:_SHOWN]]
    if len(unknown) > _SHOWN:
        lines.append(f"  … and {len(unknown) - _SHOWN} more")
    return InputError(
        "\n".join(
            [
                f"The data must have the model's classes ({_join(model)}). Received: "
                f"{len(unknown)} of {len(own)} classes that it does not know:",
                *lines,
                _HOW,
            ]
        )
    )


def _join(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
