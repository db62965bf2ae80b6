"""The lines of a manifest, which is a table in CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfxfer.config.data import DataConfig
from tfxfer.config.places import ALLOWED_SOURCES, is_address
from tfxfer.errors import InputError, first_line, nearest
from tfxfer.machine.files import exists, read_bytes

_SEPARATORS = (",", ";", "\t", "|")
# What stands under this name in a line of JSON tells where the row was read first.
PLACE = "tfxfer_place"
_SAID_SEPARATOR = re.compile(r'"?sep=(?P<sign>[^"\r\n])"?[ ,;\t]*(?=\r?\n)', re.IGNORECASE)
# The number of a line and either its cells by column or its fault.
_Cells = tuple[int, Mapping[str, Any] | str]


@dataclass(frozen=True)
class Row:
    """A line of a manifest as text; missing cells are empty.

    Attributes:
        place: The number of the line, counted from 1 as in an editor, or of the row in Parquet.
        path, labels, split, group: The texts of the cells.
        is_list: Whether the labels stood in a list.
        fault: Why the line cannot be read; empty if it can.
    """

    place: str
    path: str = ""
    labels: tuple[str, ...] = ()
    split: str = ""
    group: str = ""
    is_list: bool = False
    fault: str = ""


def read_rows(manifest: str, config: DataConfig) -> list[Row]:
    """Read a manifest without its blank lines.

    Raises:
        InputError: The manifest cannot be read as its ending says, or lacks a column.
    """
    if not _is_there(manifest):
        raise InputError(
            f"data must be {ALLOWED_SOURCES}. Received: {manifest!r}, which is not there. Check "
            "the path."
        )
    ending = os.path.splitext(manifest)[1].lower()
    names, lines = _READERS[ending](manifest, config)
    if names is not None:
        _check_columns(names, config, manifest)
    unit = "row" if ending == ".parquet" else "line"
    return [_make_row(f"{unit} {number}", cells, config) for number, cells in lines]


def _is_there(manifest: str) -> bool:
    try:
        return exists(manifest)
    except OSError as error:
        raise InputError(
            f"A manifest must be within reach. Received: {manifest!r} ({error.strerror}). Check "
            "the address, and that this machine may read there."
        ) from error


def _columns(config: DataConfig) -> dict[str, str]:
    """Return the required columns by the key that names them; a default split column may lack."""
    reading = config.reading
    columns = {
        "reading.path_column": reading.path_column,
        "reading.label_column": reading.label_column,
    }
    if reading.split_column != type(reading).model_fields["split_column"].default:
        columns["reading.split_column"] = reading.split_column
    if config.split.group_column is not None:
        columns["split.group_column"] = config.split.group_column
    return columns


def _check_columns(names: Sequence[str], config: DataConfig, manifest: str) -> None:
    """Refuse a table that lacks a column, or has two of the same name."""
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise InputError(
            "A manifest's columns must have names of their own. Received: "
            f"{manifest!r}, line 1, with {twice[0]!r} more than once. Rename one."
        )
    for key, column in _columns(config).items():
        if column not in names:
            raise InputError(
                f"A manifest must begin with a line of its columns, {column!r} among them. "
                f"Received: {manifest!r}, whose columns are {', '.join(map(repr, names))}."
                f"{nearest(column, names)} Rename the column, or name yours with "
                f"--set data.{key}=NAME. If each class has a column of its own, with 0 and 1, "
                "write the names of those with 1 into one column."
            )


def _make_row(place: str, cells: Mapping[str, Any] | str, config: DataConfig) -> Row:
    if isinstance(cells, str):
        return Row(place, fault=cells)
    place = str(cells.get(PLACE, place))
    # JSON lines have no header: each line names its own columns.
    missing = [name for name in _columns(config).values() if name not in cells]
    if missing:
        return Row(place, fault=f"no key {missing[0]!r}.{nearest(missing[0], cells)}".rstrip("."))
    reading = config.reading
    label = cells[reading.label_column]
    is_list = isinstance(label, list)
    try:
        labels = [_text(item).strip() for item in (label if is_list else [label])]
        if reading.label_separator is not None:
            parts = (part for item in labels for part in item.split(reading.label_separator))
            labels = [part.strip() for part in parts]
        return Row(
            place,
            _text(cells[reading.path_column]),
            tuple(unicodedata.normalize("NFC", text) for text in labels if text),
            _text(cells.get(reading.split_column)).strip(),
            _text(cells.get(config.split.group_column or "")).strip(),
            is_list,
        )
    except TypeError as error:
        return Row(place, fault=str(error))


def _text(value: object) -> str:
    """Return a cell as text; whole numbers and booleans are allowed, others raise `TypeError`."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    # A table in which a number is missing holds 1.0 for 1.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    raise TypeError(f"{value!r} must be text, a whole number, true or false")


def _read_text(manifest: str) -> str:
    """Return a manifest's text without its byte-order mark, if it has one."""
    content = read_bytes(manifest)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise InputError(
            f"A manifest must be UTF-8 text. Received: {manifest!r}, which is not from line "
            f"{line} on. Save it again as UTF-8."
        ) from error


def _read_separated(
    manifest: str, config: DataConfig, separator: str
) -> tuple[list[str], Iterator[_Cells]]:
    text = _read_text(manifest)
    if said := _SAID_SEPARATOR.match(text):
        text, separator = text[said.end() :], said["sign"]
    separator = _find_separator(text, separator, config)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        skipinitialspace=True,
        strict=True,
    )

    def read() -> Iterator[tuple[int, list[str]]]:
        start = 1  # A row begins in this line; quotes may extend it over several lines.
        try:
            for cells in reader:
                start = reader.line_num + 1
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, cells
        except csv.Error as error:
            raise _name_fault(manifest, start, error) from error

    lines = read()
    names = [name.strip() for name in next(lines, (1, [""]))[1]]

    def name_cells() -> Iterator[_Cells]:
        for line, cells in lines:
            if len(cells) == len(names):
                yield line, dict(zip(names, cells, strict=True))
            else:
                yield line, f"{len(cells)} fields, where line 1 names {len(names)} columns"

    return names, name_cells()


def _find_separator(text: str, usual: str, config: DataConfig) -> str:
    """Return the sign that parts the columns: another one if only that gives the columns by name.

    Spreadsheets write semicolons where a comma is the decimal sign, and some of them say so in a
    line of its own, ``sep=;``, before all others.
    """
    wanted = set(_columns(config).values())
    first = next((line for line in text.splitlines() if line.strip()), "")
    for separator in (usual, *_SEPARATORS):
        if wanted <= {name.strip(' "') for name in first.split(separator)}:
            return separator
    return usual


def _name_fault(manifest: str, line: int, error: csv.Error) -> InputError:
    """Return the error for a row that begins in a line."""
    if "field limit" in str(error):
        return InputError(
            f"A field of a manifest may have up to {csv.field_size_limit():,} characters. "
            f"Received: {manifest!r}, line {line}, with a longer one. Close the double quotes that "
            "open there, or leave out a column of long texts: only paths, labels, splits and "
            "groups are read."
        )
    return InputError(
        "Fields of a manifest that hold separators or line ends must stand in double quotes. "
        f"Received: {manifest!r}, line {line}: {error}. Correct the quotes there."
    )


def _read_json_lines(manifest: str, config: DataConfig) -> tuple[None, Iterator[_Cells]]:
    def read() -> Iterator[_Cells]:
        for number, line in enumerate(_read_text(manifest).split("\n"), start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, f"no JSON ({first_line(error)})"
            else:
                yield number, value if isinstance(value, dict) else "not a JSON object {…}"

    return None, read()


def _read_parquet(manifest: str, config: DataConfig) -> tuple[list[str], Iterator[_Cells]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(
            "Manifests in Parquet need the package pyarrow. Received: an environment without it "
            f'({first_line(error)}). Install it: pip install "tfxfer[parquet]"'
        ) from error
    try:
        file = io.BytesIO(read_bytes(manifest)) if is_address(manifest) else manifest
        names = list(parquet.read_schema(file).names)
        # Other columns are not read, because they may hold whole pictures.
        wanted = [*_columns(config).values(), config.reading.split_column]
        columns = [name for name in names if name in wanted]
        rows = parquet.read_table(file, columns=columns).to_pylist()
    # Text that is not UTF-8, and times that Python has no type for, raise plain ValueErrors.
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        raise InputError(
            f"A manifest that ends in .parquet must be a whole Parquet file. Received: "
            f"{manifest!r} ({first_line(error)}). Write it again."
        ) from error
    return names, iter(enumerate(rows, start=1))


_Reader = Callable[[str, DataConfig], tuple[list[str] | None, Iterator[_Cells]]]
_READERS: dict[str, _Reader] = {
    ".csv": lambda manifest, config: _read_separated(manifest, config, ","),
    ".tsv": lambda manifest, config: _read_separated(manifest, config, "\t"),
    ".jsonl": _read_json_lines,
    ".parquet": _read_parquet,
}
MANIFEST_ENDINGS = tuple(_READERS)
