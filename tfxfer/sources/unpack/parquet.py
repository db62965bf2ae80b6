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
from typing import Any

from tfxfer.cache.digest import digest
from tfxfer.cache.folder import UNFINISHED, make_folder
from tfxfer.cache.in_use import hold
from tfxfer.config.data import DataConfig
from tfxfer.config.places import is_address
from tfxfer.errors import InputError
from tfxfer.sources.folders.names import read_split_name

LIST = "list.jsonl"
_BATCH = 64
# The names of such a data set's files, by split: train-00000-of-00002.parquet.
_SHARD = re.compile(r"(?P<split>.+)-\d{5}-of-\d{5}(?:-\w+)?\.parquet")


def unpack_pictures(manifest: str, config: DataConfig, cache: Path) -> str | None:
    """Write the pictures of a Parquet file into the cache, and return their manifest.

    Files beside it that belong to the same data set by their names are read as well.

    Args:
        manifest: The file.
        config: The settings of the data, which may name the columns.
        cache: The folder of the cache.

    Returns:
        A manifest with the columns that `config` names; None if the file holds no pictures.

    Raises:
        InputError: Several columns may hold the pictures.
        pyarrow.ArrowException: The file is damaged.
    """
    if is_address(manifest) or not os.path.isfile(manifest):
        return None
    from pyarrow import parquet

    column = _find_column(manifest, parquet.read_schema(manifest), config)
    if column is None:
        return None
    files = _list_files(manifest)
    stamps = [f"{path}|{os.stat(path).st_size}|{os.stat(path).st_mtime_ns}" for path, _ in files]
    reading = config.reading
    names = (column, reading.path_column, reading.label_column, reading.split_column,
             config.split.group_column)  # fmt: skip
    folder = cache / "datasets" / digest("|".join(map(repr, (*stamps, *names))))
    if hold(folder):
        return str(folder / LIST)
    make_folder(folder.parent)
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    try:
        with open(unfinished / LIST, "w", encoding="utf-8") as listed:
            for number, (path, split) in enumerate(files):
                for row in _write_files(path, column, unfinished / str(number), config):
                    row[config.reading.path_column] = f"{number}/{row.pop(column)}"
                    own = {config.reading.split_column: split} if split else {}
                    listed.write(json.dumps(own | row, default=str) + "\n")
        if not folder.is_dir():
            os.replace(unfinished, folder)
        hold(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return str(folder / LIST)


def _find_column(manifest: str, schema: Any, config: DataConfig) -> str | None:
    """Return the column whose cells hold encoded pictures, alone or with their paths."""
    import pyarrow

    def holds_bytes(kind: Any) -> bool:
        if pyarrow.types.is_struct(kind):
            return any(field.name == "bytes" and holds_bytes(field.type) for field in kind)
        return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)

    found = [field.name for field in schema if holds_bytes(field.type)]
    named = [name for name in (config.reading.picture_key, config.reading.path_column) if name]
    if config.reading.path_column in schema.names and config.reading.path_column not in found:
        return None  # It is a manifest of files.
    chosen = [name for name in named if name in found] or found
    if len(chosen) > 1:
        raise InputError(
            "One column of a Parquet file must hold the pictures. Received: "
            f"{manifest!r}, with {', '.join(found)}. Name one: "
            f"--set data.reading.picture_key={found[0]}"
        )
    return chosen[0] if chosen else None


def _list_files(manifest: str) -> list[tuple[str, str]]:
    """Return the files of a data set, each with the split that its name says, if it says one."""
    name = os.path.basename(manifest)
    if not (own := _SHARD.fullmatch(name)) or not read_split_name(own["split"]):
        return [(manifest, "")]
    folder = os.path.dirname(manifest)
    shards = map(_SHARD.fullmatch, sorted(os.listdir(folder or ".")))
    splits = {shard[0]: read_split_name(shard["split"]) for shard in shards if shard}
    return [(os.path.join(folder, name), said.split) for name, said in splits.items() if said]


def _write_files(
    path: str, column: str, folder: Path, config: DataConfig
) -> Iterator[dict[str, Any]]:
    """Write a file's pictures; yield the other cells of each, with its file's name."""
    from pyarrow import parquet

    folder.mkdir()
    with parquet.ParquetFile(path) as file:
        classes = _list_classes(file.schema_arrow.metadata or {}, config.reading.label_column)
        wanted = {column, config.reading.label_column, config.reading.split_column,
                  config.split.group_column}  # fmt: skip
        columns = [name for name in file.schema_arrow.names if name in wanted]
        if column not in columns:
            raise InputError(
                "All files of a data set must have the same columns. Received: "
                f"{path!r}, without {column!r}. Rename its column, or move the file away."
            )
        number = 0
        for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
            for row in batch.to_pylist():
                cell = row[column]
                encoded = (cell.get("bytes") if isinstance(cell, dict) else cell) or b""
                ending = (config.row.sniff(encoded[:32]) or "bin").lower().split()[0]
                row[column] = f"{number:07d}.{ending}"
                (folder / row[column]).write_bytes(encoded)
                label = row.get(config.reading.label_column)
                if classes and isinstance(label, int):
                    row[config.reading.label_column] = (
                        classes[label] if 0 <= label < len(classes) else None
                    )
                number += 1
                yield row


def _list_classes(metadata: Mapping[bytes, bytes], column: str) -> Sequence[str]:
    """Return the names of the classes that Hugging Face notes for a column; empty if none."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[column]["names"]]
    except (KeyError, ValueError, TypeError):
        return []
