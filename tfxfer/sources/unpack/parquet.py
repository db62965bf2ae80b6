"""Pictures that lie in the cells of Parquet files, as Hugging Face's data sets have them.

They are written to files of the cache once, with a manifest of their paths and labels.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tfxfer.cache.digest import digest
from tfxfer.cache.folder import UNFINISHED, make_folder
from tfxfer.cache.in_use import hold
from tfxfer.config.data import DataConfig
from tfxfer.config.places import is_address
from tfxfer.errors import InputError, find_full_disk, first_line, nearest
from tfxfer.sources.manifest_rows import PLACE
from tfxfer.sources.unpack.shards import Shard

_LIST = "list.jsonl"
_BATCH = 64
_SNIFFED_BYTES, _SNIFFED_CELLS = 32, 64
_BINARY = ("is_binary", "is_large_binary", "is_fixed_size_binary")  # PyArrow's kinds of bytes


class Unpacked(NamedTuple):
    """Pictures of Parquet files that now lie in files.

    Attributes:
        manifest: The manifest of these files.
        column: The column of the Parquet files, and of the manifest, that stood for the pictures.
    """

    manifest: str
    column: str


def unpack_pictures(
    manifest: str, shards: Sequence[Shard], config: DataConfig, cache: Path
) -> Unpacked | None:
    """Write the pictures of a Parquet data set into the cache, and list them in a manifest.

    Args:
        manifest: The file that the user named.
        shards: All files of its data set.
        config: The settings of the data, which may name the columns.
        cache: The folder of the cache.

    Returns:
        A manifest with the columns that `config` names; None if the file holds no pictures.

    Raises:
        InputError: Several columns may hold the pictures, or a file lacks a column.
        pyarrow.ArrowException: The file is damaged.
    """
    if is_address(manifest) or not os.path.isfile(manifest):
        return None
    column = _find_column(manifest, config)
    if column is None:
        return None
    stamps = [f"{path}|{os.stat(path).st_size}|{os.stat(path).st_mtime_ns}" for path, _ in shards]
    folder = (
        cache / "datasets" / digest("|".join(map(repr, (*stamps, *_name_columns(column, config)))))
    )
    if hold(folder):
        return Unpacked(str(folder / _LIST), column)
    make_folder(folder.parent)
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    try:
        with open(unfinished / _LIST, "w", encoding="utf-8") as listed:
            for number, (path, split) in enumerate(shards):
                rows = _write_files(path, split, column, unfinished / str(number), config)
                for row in _explained(path, rows):
                    listed.write(json.dumps(row, default=str) + "\n")
        if not folder.is_dir():
            os.replace(unfinished, folder)
        hold(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return Unpacked(str(folder / _LIST), column)


def _name_columns(column: str, config: DataConfig) -> tuple[str, ...]:
    """Return the columns that are read, that of the pictures first and that of labels second."""
    reading, group = config.reading, config.split.group_column
    return (column, reading.label_column, reading.split_column, *([group] if group else []))


def _find_column(manifest: str, config: DataConfig) -> str | None:
    """Return the column whose cells hold encoded pictures, alone or with their paths."""
    import pyarrow
    from pyarrow import parquet

    def holds_bytes(kind: Any) -> bool:
        if pyarrow.types.is_struct(kind):
            return any(field.name == "bytes" and holds_bytes(field.type) for field in kind)
        return any(getattr(pyarrow.types, name)(kind) for name in _BINARY)

    schema = parquet.read_schema(manifest)
    found = [field.name for field in schema if holds_bytes(field.type)]
    named = [name for name in (config.reading.picture_key, config.reading.path_column) if name]
    if (key := config.reading.picture_key) and key not in schema.names:
        raise InputError(
            f"data.reading.picture_key must name a column. Received: {key!r}; {manifest!r} has "
            f"{', '.join(schema.names)}.{nearest(key, schema.names)}"
        )
    if config.reading.path_column in schema.names and config.reading.path_column not in found:
        return None  # It is a manifest of files.
    if chosen := [name for name in named if name in found]:
        return chosen[0]
    # Other columns of bytes may hold hashes, vectors or masks.
    with parquet.ParquetFile(manifest) as file:
        batches = file.iter_batches(batch_size=_SNIFFED_CELLS, columns=found) if found else iter(())
        cells: dict[str, list[Any]] = next((batch.to_pydict() for batch in batches), {})
    found = [name for name in found if any(_is_item(cell, config) for cell in cells.get(name, []))]
    if len(found) > 1:
        raise InputError(
            "One column of a Parquet file must hold the pictures. Received: "
            f"{manifest!r}, with {', '.join(found)}. Name one: "
            f"--set data.reading.picture_key={found[0]}"
        )
    return found[0] if found else None


def _is_item(cell: Any, config: DataConfig) -> bool:
    encoded, path = _read_cell(cell)
    if encoded:
        return config.row.sniff(encoded[:_SNIFFED_BYTES]) is not None
    return os.path.splitext(path)[1].lower() in config.row.endings


def _read_cell(cell: Any) -> tuple[bytes, str]:
    """Return the bytes and the path in a cell; each may be empty."""
    if isinstance(cell, dict):
        return cell.get("bytes") or b"", str(cell.get("path") or "")
    return cell or b"", ""


def _explained(path: str, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file, and name the file if it turns out to be damaged."""
    try:
        yield from rows
    except InputError:
        raise
    except (OSError, ValueError, NotImplementedError) as error:  # PyArrow's errors are of these.
        if find_full_disk(error):
            raise
        raise InputError(
            f"Parquet files must be whole. Received: {path!r} ({first_line(error)}). Fetch it "
            "again, or write it again."
        ) from error


def _write_files(
    path: str, split: str, column: str, folder: Path, config: DataConfig
) -> Iterator[dict[str, Any]]:
    """Write a file's pictures; yield the cells of each, with its file's path for the picture."""
    from pyarrow import parquet

    folder.mkdir()
    label, split_column = config.reading.label_column, config.reading.split_column
    with parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        _check_columns(path, names, split, column, config)
        classes = _list_classes(file.schema_arrow.metadata or {}, label)
        columns = [name for name in _name_columns(column, config) if name in names]
        number = 0
        for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
            for row in batch.to_pylist():
                written = _write_cell(row[column], f"{number:07d}", folder, path, config)
                number += 1
                place = f"{os.path.basename(path)}, row {number}"
                yield {
                    **row,
                    split_column: row.get(split_column) or split,
                    column: written,
                    label: _name_label(row.get(label), classes, place),
                    PLACE: place,
                }


def _check_columns(
    path: str, names: Sequence[str], split: str, column: str, config: DataConfig
) -> None:
    """Refuse a file that lacks a column; only other splits than training's may lack labels."""
    may_lack = {config.reading.split_column}
    if split not in ("", "train"):
        may_lack.add(config.reading.label_column)
    for name in _name_columns(column, config):
        if name not in names and name not in may_lack:
            raise InputError(
                "Parquet files with pictures must have a column of pictures, one of labels, and "
                f"others that are asked for. Received: {path!r}, without {name!r} among "
                f"{', '.join(names)}.{nearest(name, names)} Rename the column, or name yours, as "
                "in --set data.reading.label_column=NAME."
            )


def _write_cell(cell: Any, name: str, folder: Path, path: str, config: DataConfig) -> str:
    """Write a cell's picture, and return its path from the manifest; empty if there is none."""
    encoded, elsewhere = _read_cell(cell)
    if not encoded:
        return os.path.abspath(os.path.join(os.path.dirname(path), elsewhere)) if elsewhere else ""
    ending = (config.row.sniff(encoded[:_SNIFFED_BYTES]) or "bin").lower().split()[0]
    (folder / f"{name}.{ending}").write_bytes(encoded)
    return f"{folder.name}/{name}.{ending}"


def _name_label(label: Any, classes: Sequence[str], place: str) -> Any:
    """Return the name of a class number, or the names of a list of them; None for no label (-1)."""
    if isinstance(label, list):
        return [_name_label(each, classes, place) for each in label]
    if not classes or not isinstance(label, int):
        return label
    if not -1 <= label < len(classes):
        raise InputError(
            f"Class numbers must be 0 to {len(classes) - 1}, as the file's metadata name so many "
            f"classes, or -1 for none. Received: {label} in {place}. Correct it, or write names."
        )
    return classes[label] if label >= 0 else None


def _list_classes(metadata: Mapping[bytes, bytes], column: str) -> Sequence[str]:
    """Return the names of the classes that Hugging Face notes for a column; empty if none.

    A column of lists notes them one level deeper.
    """
    try:
        feature = json.loads(metadata[b"huggingface"])["info"]["features"][column]
        if isinstance(feature, list):
            feature = feature[0]
        return [str(name) for name in feature.get("feature", feature)["names"]]
    except (KeyError, ValueError, TypeError, AttributeError, IndexError):
        return []
