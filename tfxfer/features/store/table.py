"""The stored features of some items, found in the files of the cache and read when needed.

This module imports no TensorFlow.
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
    """The stored features of some items, which are read from disk when they are asked for.

    Attributes:
        shards: The files.
        rows: ``[items, 2]``, the number of the file and the row in it; -1 if none holds the item.
        shape: The shape of one item's features; its first axis is None if lengths differ.
        damaged: The number of shards that failed their checksum and were removed.
    """

    shards: tuple[Shard, ...]
    rows: np.ndarray
    shape: tuple[Any, ...]
    damaged: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def missing(self) -> np.ndarray:
        """The positions of the items that no shard holds."""
        return np.flatnonzero(self.rows[:, 0] < 0)

    @property
    def dtype(self) -> str:
        """The type that `read` gives: that of the files, or float32 if they differ."""
        used = {self.shards[number].dtype for number in np.unique(self.rows[:, 0])}
        return used.pop() if len(used) == 1 else "float32"

    @property
    def is_ragged(self) -> bool:
        """Whether the features may have different lengths."""
        return is_ragged(self.shape)

    @cached_property
    def lengths(self) -> np.ndarray:
        """The lengths of the items' features, ``[items]``; 0 if no shard holds them.

        Only a ragged table has lengths.
        """
        found = np.zeros(len(self.rows), np.int64)
        for number, shard in enumerate(self.shards):
            here = self.rows[:, 0] == number
            found[here] = np.array(shard.lengths, np.int64)[self.rows[here, 1]]
        return found

    def read(self, positions: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Read the features at some positions, ``[positions, *shape]``.

        The features of a ragged table are padded with zeros to the length of the longest ones.
        Files are mapped anew for each call, so that their content does not stay in the process.

        Raises:
            LookupError: An item's features are missing.
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
                continue  # An empty array cannot be mapped.
            mapped = _map(shard, (int(ends[-1]), *rest))
            for place in np.flatnonzero(chosen[:, 0] == number):
                length, end = lengths[place], ends[chosen[place, 1]]
                features[place, :length] = mapped[end - length : end]
        return features


def _map(shard: Shard, shape: tuple[int, ...]) -> np.ndarray:
    mapped: np.memmap = np.memmap(shard.file, stored_dtype(shard.dtype), "r", shard.offset, shape)
    return mapped.view(DTYPES[shard.dtype])


def look_up(folder: Path, kind: Kind, identities: Sequence[str]) -> Table:
    """Find items in the store; damaged shards are removed and not used.

    Args:
        folder: The cache.
        identities: The identities of the items, in the order of the table.
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
            # The shard was removed meanwhile, or is out of reach for now; it need not be damaged.
        else:
            shards += [shard] if shard else []
    where = {
        identity: (number, row)
        for number, shard in enumerate(shards)
        for row, identity in enumerate(shard.identities)
    }
    rows: Any = [where.get(identity, (-1, -1)) for identity in identities]
    if shards:
        with suppress(OSError):  # The cache may belong to another user.
            os.utime(place)
    rows = np.array(rows, np.int64).reshape(-1, 2)
    return Table(tuple(shards), rows, kind.shape, damaged)
