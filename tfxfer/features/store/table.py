"""Stored features of some pictures: found in the files of the cache, and read as they are needed.

Imports no TensorFlow.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfxfer.cache.folder import list_folders
from tfxfer.features.store.shards import DTYPES, DamageError, Kind, Shard, open_shard, stored_dtype


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

        Raises:
            LookupError: a picture's features are missing.
        """
        chosen = self.rows[positions]
        if (chosen < 0).any():
            raise LookupError(f"features of {(chosen[:, 0] < 0).sum()} pictures are not stored")
        features = np.empty((len(chosen), *self.shape), DTYPES[self.dtype])
        for number in np.unique(chosen[:, 0]):
            shard, here = self.shards[number], chosen[:, 0] == number
            shape = (len(shard.identities), *self.shape)
            mapped: np.memmap = np.memmap(
                shard.file, stored_dtype(shard.dtype), "r", shard.offset, shape
            )
            features[here] = mapped.view(DTYPES[shard.dtype])[chosen[here, 1]]
        return features


def look_up(folder: Path, kind: Kind, identities: Sequence[str]) -> Table:
    """Find pictures in the store; damaged shards are removed and count as not there.

    Args:
        folder: the cache.
        identities: of the pictures, in the order of the table to be.
    """
    place, wanted = folder / kind.key, frozenset(identities)
    shards: list[Shard] = []
    damaged = 0
    for path in list_folders(place):
        try:
            shard = open_shard(path, kind.shape, wanted)
        except DamageError:
            shutil.rmtree(path, ignore_errors=True)
            damaged += 1
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            # Removed meanwhile, or out of reach for now: whole, for all that is known.
        else:
            shards += [shard] if shard else []
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
    return Table(tuple(shards), rows, kind.shape, damaged)
