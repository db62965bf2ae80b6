"""Features on disk: a folder for each network and cut, in it shards that are written once.

    <cache>/<key>/about.json               what the features are
    <cache>/<key>/<shard>/features.npy     [rows, *shape]
    <cache>/<key>/<shard>/index.json       a line with its hash, then each row's identity and the
                                           checksum of the other file

A shard gets its name when it is whole, so readers and other writers need no lock; rows that are
missing go into a new shard. Imports no TensorFlow.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import psutil

from tfxfer.errors import InputError

_ABOUT, _FEATURES, _INDEX = "about.json", "features.npy", "index.json"
_UNFINISHED = ".unfinished-"
_DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
}
# Rounding errors that are accepted, as a share of the features' norm: far below an engine's.
_ROUNDING = {"float16": 1e-3, "bfloat16": 5e-3}
_READ_BYTES = 1 << 24
_ABANDONED_SECONDS = 24 * 3600


def cache_folder(configured: str | None = None) -> Path:
    """Where features are kept: as configured, else ``$TFXFER_CACHE``, else ``~/.cache/tfxfer``."""
    named = configured or os.environ.get("TFXFER_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "tfxfer"


def make_folder(path: Path) -> None:
    """Make a folder of the cache.

    Raises:
        InputError: the cache cannot be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "The cache of features must be a folder that can be written to. Received: "
            f"{str(path.parent)!r}: {error.strerror}. Name another with "
            "--set features.cache_dir=DIR or the environment variable TFXFER_CACHE."
        ) from error


def digest(*parts: str | bytes) -> str:
    """Hash some texts; the same on every machine."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape")
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


@dataclass(frozen=True)
class Kind:
    """What some features are: of the same kind and picture, they are the same numbers.

    Attributes:
        key: hash of the weights, cut, preprocessing, picture size and engine.
        shape: of one picture's features.
        about: the same in words, for people.
    """

    key: str
    shape: tuple[int, ...]
    about: dict[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Shard:
    """A file of features, and what is in its rows."""

    path: Path
    dtype: str
    identities: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Stored features of some pictures, read from disk as they are asked for.

    Attributes:
        shards: the files.
        rows: ``[pictures, 2]``: number of the file and row in it; -1 where none holds the picture.
        shape: of one picture's features.
        damaged: shards that failed their checksum and were removed.
    """

    shards: tuple[Shard, ...]
    rows: np.ndarray
    shape: tuple[int, ...]
    damaged: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def missing(self) -> np.ndarray:
        """Positions of the pictures that no shard holds."""
        return np.flatnonzero(self.rows[:, 0] < 0)

    @property
    def dtype(self) -> str:
        """What `read` gives: the files' own type, or float32 where they differ."""
        used = {self.shards[number].dtype for number in np.unique(self.rows[:, 0])}
        return used.pop() if len(used) == 1 else "float32"

    def read(self, positions: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Read the features at some positions, ``[positions, *shape]``.

        Files are mapped anew for each call, so that what was read does not stay in the process.
        """
        chosen = self.rows[positions]
        features = np.empty((len(chosen), *self.shape), _DTYPES[self.dtype])
        for number in np.unique(chosen[:, 0]):
            shard, here = self.shards[number], chosen[:, 0] == number
            mapped = np.load(shard.path / _FEATURES, mmap_mode="r").view(_DTYPES[shard.dtype])
            features[here] = mapped[chosen[here, 1]]
        return features


def look_up(folder: Path, kind: Kind, identities: Sequence[str]) -> Table:
    """Find pictures in the store; damaged shards are removed and count as not there.

    Args:
        folder: the cache.
        identities: of the pictures, in the order of the table to be.
    """
    place = folder / kind.key
    found = [_read_shard(path, kind.shape) for path in _visible(place)]
    shards = tuple(shard for shard in found if shard)
    where = {
        identity: (number, row)
        for number, shard in enumerate(shards)
        for row, identity in enumerate(shard.identities)
    }
    rows: Any = [where.get(identity, (-1, -1)) for identity in identities]
    if shards:
        with suppress(OSError):  # someone else's cache, say
            os.utime(place)
    rows = np.array(rows, np.int64).reshape(-1, 2)
    return Table(shards, rows, kind.shape, damaged=found.count(None))


@contextmanager
def write_shard(
    folder: Path, kind: Kind, identities: Sequence[str], dtype: str
) -> Iterator[Callable[[np.ndarray], None]]:
    """Give a function that appends rows ``[rows, *shape]``; the shard is there when all are.

    Raises:
        OverflowError: a number is too large for the type; nothing is kept then.
    """
    place = folder / kind.key
    staging = place / f"{_UNFINISHED}{uuid.uuid4().hex}"
    make_folder(staging)
    _remove_abandoned(place)
    about = {**kind.about, "shape": kind.shape}
    (place / _ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    # NumPy's file format knows no bfloat16.
    stored = np.dtype(np.uint16) if dtype == "bfloat16" else _DTYPES[dtype]
    header = {
        "descr": np.lib.format.dtype_to_descr(stored),
        "fortran_order": False,
        "shape": (len(identities), *kind.shape),
    }
    start = io.BytesIO()
    np.lib.format.write_array_header_1_0(start, header)
    checksum = zlib.crc32(start.getvalue())
    try:
        with open(staging / _FEATURES, "wb") as file:
            file.write(start.getvalue())

            def write(features: np.ndarray) -> None:
                nonlocal checksum
                data = cast(features, dtype).tobytes()
                checksum = zlib.crc32(data, checksum)
                file.write(data)

            yield write
        index = json.dumps({"dtype": dtype, "checksum": checksum, "identities": list(identities)})
        (staging / _INDEX).write_text(f"{digest(index)}\n{index}", encoding="utf-8")
        staging.rename(place / uuid.uuid4().hex)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def cast(features: np.ndarray, dtype: str) -> np.ndarray:
    """Round features to a type of the store; `OverflowError` where that makes them infinite."""
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(features).astype(_DTYPES[dtype])
    if dtype != "float32" and not np.isfinite(rounded).all() and np.isfinite(features).all():
        raise OverflowError(f"features of up to {np.abs(features).max():.3g} do not fit {dtype}")
    return rounded


def choose_dtype(features: np.ndarray) -> str:
    """The shortest type that keeps some features: float16, else bfloat16, else float32."""
    norm = max(float(np.linalg.norm(features)), 1e-12)
    for dtype, accepted in _ROUNDING.items():
        try:
            rounded = cast(features, dtype).astype(np.float32)
        except OverflowError:
            continue
        if np.linalg.norm(rounded - features) <= accepted * norm:
            return dtype
    return "float32"


@dataclass(frozen=True)
class Stored:
    """One line of ``tfxfer cache``: features of one kind."""

    path: Path
    about: dict[str, Any]
    pictures: int
    bytes: int
    used: datetime


def list_stored(folder: Path) -> list[Stored]:
    """List what the cache holds, the most recently used first."""
    lines = []
    for place in _visible(folder):
        if not (place / _ABOUT).is_file():
            continue
        rows = sum(len(_read_index(path).get("identities", ())) for path in _visible(place))
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        used = datetime.fromtimestamp(place.stat().st_mtime)
        lines.append(Stored(place, _read_about(place), rows, size, used))
    return sorted(lines, key=lambda line: line.used, reverse=True)


def make_room(
    folder: Path, needed_bytes: int, keep: Sequence[str], budget_bytes: int | None = None
) -> bool:
    """Say whether so much more may be stored; what was used least recently goes for it.

    Args:
        keep: keys that stay.
        budget_bytes: of the whole cache; None: a quarter of the disk's free space and of what the
            cache holds already, and no more than four times the memory at hand: a larger store
            would be read from the disk again in every epoch.
    """
    held = list_stored(folder)
    held_bytes = sum(line.bytes for line in held)
    if budget_bytes is None:
        existing = next(path for path in (folder, *folder.parents) if path.is_dir())
        free = shutil.disk_usage(existing).free
        memory = int(psutil.virtual_memory().available)
        budget_bytes = min((free + held_bytes) // 4, 4 * memory)
    kept_bytes = sum(line.bytes for line in held if line.path.name in keep)
    if kept_bytes + needed_bytes > budget_bytes:
        return False
    excess = held_bytes + needed_bytes - budget_bytes
    if excess > 0:
        clear(folder, keep, excess)
    return True


def clear(folder: Path, keep: Sequence[str] = (), needed_bytes: int | None = None) -> int:
    """Remove stored features, the least recently used first, and return the bytes that are freed.

    Args:
        keep: keys that stay.
        needed_bytes: stop when this much is freed; None: remove everything.
    """
    freed = 0
    for line in reversed(list_stored(folder)):
        if needed_bytes is not None and freed >= needed_bytes:
            break
        if line.path.name not in keep:
            shutil.rmtree(line.path, ignore_errors=True)
            freed += line.bytes
    return freed


def _remove_abandoned(place: Path) -> None:
    """Remove what a process that was killed left half written."""
    for path in place.glob(f"{_UNFINISHED}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def _read_about(place: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((place / _ABOUT).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _read_index(path: Path) -> dict[str, Any]:
    """A shard's index; empty where it is damaged."""
    with suppress(OSError, ValueError):
        expected, _, text = (path / _INDEX).read_text(encoding="utf-8").partition("\n")
        # Nothing of a file is read before its checksum holds.
        if digest(text) == expected:
            return dict(json.loads(text))
    return {}


def _read_shard(path: Path, shape: tuple[int, ...]) -> Shard | None:
    """Read a shard; None, and away with it, where it is damaged or of another shape."""
    index = _read_index(path)
    with suppress(OSError, ValueError):
        status = (path / _FEATURES).stat()
        checksum = _checksum(path / _FEATURES, status.st_size, status.st_mtime_ns)
        if index and checksum == index["checksum"]:
            shard = Shard(path, index["dtype"], tuple(index["identities"]))
            mapped = np.load(path / _FEATURES, mmap_mode="r")
            if mapped.shape == (len(shard.identities), *shape):
                return shard
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    return None


@lru_cache(maxsize=4096)
def _checksum(path: Path, size: int, changed_ns: int) -> int:
    """CRC-32 of a file, which is read once in a process while it does not change."""
    checksum = 0
    with open(path, "rb") as file:
        while data := file.read(_READ_BYTES):
            checksum = zlib.crc32(data, checksum)
    return checksum


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
