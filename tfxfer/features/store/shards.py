"""Files of features: a folder for each network, cut and source, with shards that are written once.

    <cache>/<key>/about.json               what the features are
    <cache>/<key>/<shard>/features.npy     [rows, *shape]
    <cache>/<key>/<shard>/index.json       a line with its hash, then each row's identity and the
                                           checksum of the other file

Rows of a ragged kind are of different lengths. They lie one after the other, as ``[steps,
*shape[1:]]``, and the index says how long each one is.

A shard gets its name when it is complete, so readers and other writers need no lock; rows that are
missing go into a new shard. This module imports no TensorFlow.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import uuid
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from tfxfer.cache.digest import digest
from tfxfer.cache.folder import UNFINISHED, is_abandoned, make_folder

ABOUT, _FEATURES, _INDEX = "about.json", "features.npy", "index.json"
MADE_BY = "tfxfer"
DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
}
# Rounding errors up to these shares of the features' norm are accepted; an engine's are far larger.
_ROUNDING = {"float16": 1e-3, "bfloat16": 5e-3}
_READ_BYTES = 1 << 24


class DamageError(Exception):
    """An error which says that a shard is not what was written."""


@dataclass(frozen=True)
class Kind:
    """A kind of features: for the same kind and item, features are the same numbers.

    Attributes:
        key: A hash of the layers below the cut, the engine, the changes to the items, and the
            items' source.
        shape: The shape of one item's features; its first axis is None if lengths differ.
        about: The same facts in words, for people.
    """

    key: str
    shape: tuple[Any, ...]
    about: dict[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Shard:
    """A file of features, and the identities of its rows.

    Attributes:
        file: The open file, so that features stay readable when another process removes it.
        offset: The position of the first row in the file, in bytes.
        lengths: The lengths of the rows of a ragged kind; empty if all rows have one shape.
    """

    path: Path
    dtype: str
    identities: tuple[str, ...]
    file: BinaryIO = field(compare=False, repr=False)
    offset: int
    lengths: tuple[int, ...] = ()


@contextmanager
def write_shard(
    folder: Path, kind: Kind, identities: Sequence[str], dtype: str
) -> Iterator[Callable[..., None]]:
    """Give a function that appends rows ``[rows, *shape]``; the shard exists when all are written.

    The rows of a ragged kind are given padded, together with their lengths ``[rows]``.

    Raises:
        OverflowError: A number is too large for the type; nothing is kept then.
        ValueError: Rows are missing, or there are too many; nothing is kept then.
    """
    place = folder / kind.key
    staging = place / f"{UNFINISHED}{uuid.uuid4().hex}"
    make_folder(staging)
    _remove_abandoned(place)
    about = {**kind.about, "shape": kind.shape, "made_by": MADE_BY}
    (place / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    try:
        with open(staging / _FEATURES, "w+b") as file:
            rows = _Rows(file, kind, dtype, len(identities))
            yield rows.append
            found = rows.finish()
        index = json.dumps({"dtype": dtype, **found, "identities": list(identities)})
        (staging / _INDEX).write_text(f"{digest(index)}\n{index}", encoding="utf-8")
        staging.rename(place / uuid.uuid4().hex)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def read_error(folder: Path, kind: Kind) -> float | None:
    """Return how far the engine's features of a kind are from Keras's; None if it is not known."""
    try:
        about = json.loads((folder / kind.key / ABOUT).read_text(encoding="utf-8"))
        return float(about["error"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


class _Rows:
    """The rows of a shard on their way into its file."""

    def __init__(self, file: BinaryIO, kind: Kind, dtype: str, count: int):
        self._file, self._kind, self._dtype, self._count = file, kind, dtype, count
        self._lengths: list[int] | None = [] if is_ragged(kind.shape) else None
        # The number of steps of a ragged kind is known only at the end.
        start = self._header(count if self._lengths is None else 0)
        self._checksum, self._written = zlib.crc32(start), 0
        file.write(start)

    def append(self, features: np.ndarray, lengths: np.ndarray | None = None) -> None:
        """Append rows; the rows of a ragged kind are as long as `lengths` says."""
        if self._lengths is None:
            self._write(features)
        elif lengths is None:
            raise ValueError(f"rows of the shape {self._kind.shape} must come with their lengths")
        else:
            self._lengths += map(int, lengths)
            for row, length in zip(features, lengths, strict=True):
                self._write(row[:length])
        self._written += len(features)

    def finish(self) -> dict[str, Any]:
        """Complete the file, and return the part of the index that describes it.

        Raises:
            ValueError: Rows are missing, or there are too many.
        """
        if self._written != self._count:
            raise ValueError(f"a shard of {self._count} pictures got features of {self._written}")
        if self._lengths is None:
            return {"checksum": self._checksum}
        start = self._header(sum(self._lengths))
        self._file.seek(0)
        self._file.write(start)
        self._file.seek(0)
        checksum = 0
        while data := self._file.read(_READ_BYTES):
            checksum = zlib.crc32(data, checksum)
        return {"checksum": checksum, "lengths": self._lengths}

    def _write(self, features: np.ndarray) -> None:
        data = cast(features, self._dtype).tobytes()
        self._checksum = zlib.crc32(data, self._checksum)
        self._file.write(data)

    def _header(self, rows: int) -> bytes:
        """Return the beginning of the file, whose size is the same for any number of rows."""
        shape = self._kind.shape if self._lengths is None else self._kind.shape[1:]
        header = {
            "descr": np.lib.format.dtype_to_descr(stored_dtype(self._dtype)),
            "fortran_order": False,
            "shape": (rows, *shape),
        }
        start = io.BytesIO()
        np.lib.format.write_array_header_1_0(start, header)
        return start.getvalue()


def is_ragged(shape: tuple[Any, ...]) -> bool:
    """Return whether features of a shape may have different lengths."""
    return bool(shape) and shape[0] is None


def cast(features: np.ndarray, dtype: str) -> np.ndarray:
    """Round features to a type of the store.

    Raises:
        OverflowError: Rounding makes some of them infinite.
    """
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(features).astype(DTYPES[dtype])
    if dtype != "float32" and not np.isfinite(rounded).all() and np.isfinite(features).all():
        raise OverflowError(f"features of up to {np.abs(features).max():.3g} do not fit {dtype}")
    return rounded


def choose_dtype(features: np.ndarray) -> str:
    """Return the shortest type that keeps some features: float16, else bfloat16, else float32."""
    with np.errstate(over="ignore"):  # The norm of very large features is infinite.
        norm = max(float(np.linalg.norm(features)), 1e-12)
    for dtype, accepted in _ROUNDING.items():
        try:
            rounded = cast(features, dtype).astype(np.float32)
        except OverflowError:
            continue
        if np.linalg.norm(rounded - features) <= accepted * norm:
            return dtype
    return "float32"


def _remove_abandoned(place: Path) -> None:
    """Remove the unfinished folders that killed processes have left."""
    for path in place.glob(f"{UNFINISHED}*"):
        if is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)


def read_index(path: Path) -> dict[str, Any]:
    """Return a shard's ``identities``, ``dtype`` and ``checksum``, or nothing if it is damaged."""
    data = (path / _INDEX).read_bytes()
    with suppress(ValueError):
        expected, _, text = data.decode("utf-8").partition("\n")
        # The content is not read unless its hash is right.
        if digest(text) == expected:
            return dict(json.loads(text))
    return {}


def open_shard(path: Path, shape: tuple[Any, ...], wanted: frozenset[str]) -> Shard | None:
    """Open a shard; return None if it holds none of the wanted items.

    Raises:
        DamageError: The shard is damaged or of another shape.
        OSError: The shard cannot be read.
    """
    index = read_index(path)
    if not index:
        raise DamageError
    if wanted.isdisjoint(index["identities"]):
        return None
    with ExitStack() as on_failure:
        file = on_failure.enter_context(open(path / _FEATURES, "rb"))
        status = os.fstat(file.fileno())
        if _checksum(path / _FEATURES, status.st_size, status.st_mtime_ns) != index["checksum"]:
            raise DamageError
        np.lib.format.read_magic(file)
        stored_shape, _, _ = np.lib.format.read_array_header_1_0(file)
        lengths = tuple(index.get("lengths", ()))
        expected = (len(index["identities"]), *shape)
        if is_ragged(shape):
            if len(lengths) != len(index["identities"]):
                raise DamageError
            expected = (sum(lengths), *shape[1:])
        if stored_shape != expected:
            raise DamageError
        on_failure.pop_all()
    shard = Shard(path, index["dtype"], tuple(index["identities"]), file, file.tell(), lengths)
    weakref.finalize(shard, file.close)  # The file stays open as long as the shard is in use.
    return shard


def stored_dtype(dtype: str) -> np.dtype:
    """Return the type by which NumPy's file format, which knows no bfloat16, stores a type."""
    return np.dtype(np.uint16) if dtype == "bfloat16" else DTYPES[dtype]


@lru_cache(maxsize=4096)
def _checksum(path: Path, size: int, changed_ns: int) -> int:
    """Return the CRC-32 of a file, which a process reads only once while it does not change."""
    checksum = 0
    with open(path, "rb") as file:
        while data := file.read(_READ_BYTES):
            checksum = zlib.crc32(data, checksum)
    return checksum
