"""Stored features of some items: found in the files of the cache, and read as they are needed.

Imports no TensorFlow.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tfxfer.cache.folder import list_folders
from tfxfer.features.store.shards import (
    DTYPES,
    DamageError,
    Kind,
    Shard,
    is_ragged,
    open_shard,
    stored_dtype,
)


@dataclass(frozen=True)
class Table:
    """Stored features of some items, read from disk as they are asked for.

    Attributes:
        shards: the files.
        rows: ``[items, 2]``: number of the file and row in it; -1 where none holds the item.
        shape: of one item's features; its first axis is None where they differ in length.
        damaged: shards that failed their checksum and were removed.
    """

    shards: tuple[Shard, ...]
    rows: np.ndarray
    shape: tuple[Any, ...]
    damaged: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def missing(self) -> np.ndarray:
        """Positions of the items that no shard holds."""
        return np.flatnonzero(self.rows[:, 0] < 0)

    @property
    def dtype(self) -> str:
        """What `read` gives: the files' own type, or float32 where they differ."""
        used = {self.shards[number].dtype for number in np.unique(self.rows[:, 0])}
        return used.pop() if len(used) == 1 else "float32"

    @property
    def is_ragged(self) -> bool:
        """Whether the features are of different lengths."""
        return is_ragged(self.shape)

    @cached_property
    def lengths(self) -> np.ndarray:
        """How long the features of each item are, ``[items]``; 0 where no shard holds them.

        Only a ragged table has lengths.
        """
        found = np.zeros(len(self.rows), np.int64)
        for number, shard in enumerate(self.shards):
            here = self.rows[:, 0] == number
            found[here] = np.array(shard.lengths, np.int64)[self.rows[here, 1]]
        return found

    def read(self, positions: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Read the features at some positions, ``[positions, *shape]``.

        Those of a ragged table are as long as the longest of them, and zero behind their ends.
        Files are mapped anew for each call, so that what was read does not stay in the process.

        Raises:
            LookupError: an item's features are missing.
        """
        chosen = self.rows[positions]
        if (chosen < 0).any():
            raise LookupError(f"features of {(chosen[:, 0] < 0).sum()} pictures are not stored")
        if self.is_ragged:
            return self._read_padded(chosen, self.lengths[positions])
        features = np.empty((len(chosen), *self.shape), DTYPES[self.dtype])
        for number in np.unique(chosen[:, 0]):
            shard, here = self.shards[number], chosen[:, 0] == number
            mapped = _map(shard, (len(shard.identities), *self.shape))
            features[here] = mapped[chosen[here, 1]]
        return features

    def _read_padded(self, chosen: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        longest, rest = int(lengths.max(initial=0)), self.shape[1:]
        features = np.zeros((len(chosen), longest, *rest), DTYPES[self.dtype])
        for number in np.unique(chosen[:, 0]):
            shard = self.shards[number]
            ends = np.cumsum(shard.lengths)
            if ends[-1] == 0:
                continue  # nothing cannot be mapped
            mapped = _map(shard, (int(ends[-1]), *rest))
            for place in np.flatnonzero(chosen[:, 0] == number):
                length, end = lengths[place], ends[chosen[place, 1]]
                features[place, :length] = mapped[end - length : end]
        return features


def _map(shard: Shard, shape: tuple[int, ...]) -> np.ndarray:
    mapped: np.memmap = np.memmap(shard.file, stored_dtype(shard.dtype), "r", shard.offset, shape)
    return mapped.view(DTYPES[shard.dtype])


def look_up(folder: Path, kind: Kind, identities: Sequence[str]) -> Table:
    """Find items in the store; damaged shards are removed and count as not there.

    Args:
        folder: the cache.
        identities: of the items, in the order of the table to be.
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
