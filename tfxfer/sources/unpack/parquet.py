"""Pictures that lie in the cells of Parquet files, as Hugging Face's data sets have them.

They are written to files of the cache once, with a manifest of their paths and labels.
"""

from __future__ import annotations

import json
import os
import re
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
from tfxfer.errors import InputError, nearest
from tfxfer.sources.folders.names import read_split_name
from tfxfer.sources.manifest_rows import PLACE

_LIST = "list.jsonl"
_BATCH = 64
_SNIFFED_BYTES, _SNIFFED_CELLS = 32, 64
_BINARY = ("is_binary", "is_large_binary", "is_fixed_size_binary")  # PyArrow's kinds of bytes
# The names of such a data set's files, by split: train-00000-of-00002.parquet.
_SHARD = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?:-\w+)?\.parquet")


class Unpacked(NamedTuple):
    """Pictures of Parquet files that now lie in files.

    Attributes:
        manifest: The manifest of these files.
        column: The column of the Parquet files, and of the manifest, that stood for the pictures.
    """

    manifest: str
    column: str


def unpack_pictures(manifest: str, config: DataConfig, cache: Path) -> Unpacked | None:
    """Write the pictures of a Parquet file into the cache, and list them in a manifest.

    Files beside it that belong to the same data set by their names are read as well.

    Args:
        manifest: The file.
        config: The settings of the data, which may name the columns.
        cache: The folder of the cache.

    Returns:
        A manifest with the columns that `config` names; None if the file holds no pictures.

    Raises:
        InputError: Several columns may hold the pictures, a file of the data set is missing, or
            lacks a column.
        pyarrow.ArrowException: The file is damaged.
    """
    if is_address(manifest) or not os.path.isfile(manifest):
        return None
    column = _find_column(manifest, config)
    if column is None:
        return None
    files = _list_files(manifest)
    stamps = [f"{path}|{os.stat(path).st_size}|{os.stat(path).st_mtime_ns}" for path, _ in files]
    folder = (
        cache / "datasets" / digest("|".join(map(repr, (*stamps, *_name_columns(column, config)))))
    )
    if hold(folder):
        return Unpacked(str(folder / _LIST), column)
    make_folder(folder.parent)
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    try:
        with open(unfinished / _LIST, "w", encoding="utf-8") as listed:
            for number, (path, split) in enumerate(files):
                for row in _write_files(path, split, column, unfinished / str(number), config):
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
    encoded, _ = _read_cell(cell)
    return bool(encoded) and config.row.sniff(encoded[:_SNIFFED_BYTES]) is not None


def _read_cell(cell: Any) -> tuple[bytes, str]:
    """Return the bytes and the path in a cell; each may be empty."""
    if isinstance(cell, dict):
        return cell.get("bytes") or b"", str(cell.get("path") or "")
    return cell or b"", ""


def _list_files(manifest: str) -> list[tuple[str, str]]:
    """Return the files of a data set, each with the split that its name says, if it says one.

    Raises:
        InputError: The names say that there are more files than lie there.
    """
    folder, name = os.path.split(manifest)
    if not (own := _SHARD.fullmatch(name)) or not read_split_name(own["split"]):
        return [(manifest, "")]
    shards = filter(None, map(_SHARD.fullmatch, sorted(os.listdir(folder or "."))))
    listed: dict[str, list[re.Match[str]]] = {}
    for shard in shards:
        if read_split_name(shard["split"]):
            listed.setdefault(f"{shard['split']}-*-of-{shard['count']}", []).append(shard)
    for pattern, found in listed.items():
        missing = set(range(int(found[0]["count"]))) - {int(shard["number"]) for shard in found}
        if missing:
            raise InputError(
                f"All files of a data set must lie beside each other. Received: {manifest!r}, "
                f"where {pattern}.parquet lacks number {min(missing):05d}. Fetch it, or give the "
                "files that you want names without numbers and list them one at a time."
            )
    return [
        (os.path.join(folder, shard[0]), said.split)
        for found in listed.values()
        for shard in found
        if (said := read_split_name(shard["split"]))
    ]


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
                place = _write_cell(row[column], f"{number:07d}", folder, path, config)
                number += 1
                yield {
                    split_column: split,
                    **row,
                    column: place,
                    label: _name_label(row.get(label), classes),
                    PLACE: f"{os.path.basename(path)}, row {number}",
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


def _name_label(label: Any, classes: Sequence[str]) -> Any:
    """Return the name of a class number, or the names of a list of them; None if it has none."""
    if isinstance(label, list):
        return [_name_label(each, classes) for each in label]
    if not classes or not isinstance(label, int):
        return label
    return classes[label] if 0 <= label < len(classes) else None


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
