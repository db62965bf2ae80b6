"""TFRecord and ArrayRecord files, whose records are `tf.train.Example` with encoded pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfxfer.data.items import PARALLEL_CALLS, Identity
from tfxfer.errors import InputError, first_line
from tfxfer.machine.files import for_each, stamp
from tfxfer.task import Labels

TFRECORD, ARRAYRECORD = "tfrecord:", "arrayrecord:"
# TFRecord files are shuffled through a buffer of this many encoded pictures.
_SHUFFLE_BUFFER = 4096
_GZIP_START = b"\x1f\x8b\x08"
# So many records are read from an ArrayRecord file at once.
_CHUNK = 64
_OPEN_FILES = 256


def read_tfrecords(kind: str, path: str) -> Iterator[bytes]:
    """Read a file from its start to its end.

    Args:
        kind: ``"tfrecord:"`` (plain or gzip) or ``"arrayrecord:"``.
        path: The file.

    Raises:
        InputError: The file is truncated or corrupt; the error names the file and the record,
            counted from 0.
    """
    number = 0
    try:
        for record in _READERS[kind](path):
            yield record
            number += 1
    # ArrayRecord raises Python's errors, such as RuntimeError, and TensorFlow raises its own.
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"Files of records must be whole {kind.removesuffix(':')} files. Received: {path!r}, "
            f"which cannot be read at record {number} ({first_line(error)}). Write it again, or "
            "name patterns that leave it out."
        ) from error


def _read_tfrecord(path: str) -> Iterator[bytes]:
    return tf.data.TFRecordDataset(path, compression_type=compression_of(path)).as_numpy_iterator()


def _read_arrayrecord(path: str) -> Iterator[bytes]:
    reader = open_arrayrecord(path)
    count = reader.num_records()
    for start in range(0, count, _CHUNK):
        numbers = range(start, min(start + _CHUNK, count))
        try:
            records = reader.read(numbers.start, numbers.stop)
        except RuntimeError:
            # Records are read one by one up to the one that fails, with a new reader, because a
            # reader cannot be used after an error.
            anew = open_arrayrecord(path)
            records = (anew.read([number])[0] for number in numbers)
        yield from records


_READERS: dict[str, Callable[[str], Iterator[bytes]]] = {
    TFRECORD: _read_tfrecord,
    ARRAYRECORD: _read_arrayrecord,
}


def compression_of(path: str) -> str:
    """Return ``"GZIP"`` or ``""`` by a file's first bytes, because its ending may be wrong."""
    with tf.io.gfile.GFile(path, "rb") as file:
        return "GZIP" if file.read(len(_GZIP_START)) == _GZIP_START else ""


def open_arrayrecord(path: str) -> Any:
    """Open an ArrayRecord file for random access.

    Raises:
        InputError: The package array_record is missing, or the file is truncated.
    """
    try:
        from array_record.python.array_record_module import ArrayRecordReader
    except ImportError as error:
        raise InputError(
            "arrayrecord: needs the package array_record. Received: none that can be imported "
            f"({error}). Install it with: pip install array_record"
        ) from error
    reader = ArrayRecordReader(path, "readahead_buffer_size:0")
    if not reader.ok():
        raise InputError(
            "Files of records must be whole arrayrecord files. Received: "
            f"{path!r}, which cannot be read at record 0: it is truncated, so that the list of "
            "its records is gone, or another kind of file. Write it again, or name patterns that "
            "leave it out."
        )
    return reader


@lru_cache(maxsize=_OPEN_FILES)
def _open_cached(path: str, stamped: str) -> Any:
    """Open a file for random access once, and again when its stamp says that it was replaced."""
    return open_arrayrecord(path)


@dataclass(frozen=True)
class TFRecordSet:
    """Pictures in TFRecord or ArrayRecord files, or some of them; they stay on the disk.

    Attributes:
        kind: ``"tfrecord:"`` or ``"arrayrecord:"``.
        files: The paths of the files, in order.
        counts: The number of records of each file.
        picture_key: The feature that holds the encoded picture.
        labels: The labels of the chosen pictures, as in `ItemSet`.
        places: ``[pictures]`` int64, the places of the chosen records, ascending, counted through
            all files.
    """

    kind: str
    files: tuple[str, ...]
    counts: tuple[int, ...]
    picture_key: str
    labels: Labels
    places: np.ndarray

    groups: ClassVar[tuple[str, ...]] = ()

    def encoded(self, shuffle_seed: int | None = None) -> tf.data.Dataset:
        if self.kind == ARRAYRECORD:
            return self._random_access(shuffle_seed)
        dataset = tf.data.Dataset.zip(
            self._in_order().map(self._parse),
            tf.data.Dataset.from_tensor_slices(self.labels.rows),
        )
        if shuffle_seed is not None:
            dataset = dataset.shuffle(min(len(self.labels), _SHUFFLE_BUFFER), seed=shuffle_seed)
        return dataset

    def _in_order(self) -> tf.data.Dataset:
        """Return the chosen records of TFRecord files, read in order."""
        first, last = (self.places[0], self.places[-1]) if len(self.places) else (0, -1)
        chosen = np.zeros(sum(self.counts), bool)
        chosen[self.places] = True
        mask = tf.constant(chosen)
        kinds = [compression_of(path) for path in self.files]
        files = tf.data.Dataset.from_tensor_slices((list(self.files), kinds))
        dataset = files.flat_map(lambda path, gz: tf.data.TFRecordDataset(path, gz)).enumerate()
        dataset = dataset.skip(first).take(last - first + 1)
        return dataset.filter(lambda place, _: mask[place]).map(lambda _, record: record)

    def _random_access(self, shuffle_seed: int | None) -> tf.data.Dataset:
        files, numbers = self._locate()
        stamps = for_each(stamp, self.files)
        dataset = tf.data.Dataset.from_tensor_slices((files, numbers, self.labels.rows))
        if shuffle_seed is not None:
            # Only numbers are shuffled and not pictures, so that a full shuffle needs no memory.
            dataset = dataset.shuffle(len(self.labels), seed=shuffle_seed)

        def read(file: np.ndarray, number: np.ndarray) -> bytes:
            opened = _open_cached(self.files[int(file)], stamps[int(file)])
            return opened.read([int(number)])[0]

        def load(file: tf.Tensor, number: tf.Tensor, label: tf.Tensor) -> tuple[Any, Any]:
            record = tf.numpy_function(read, [file, number], tf.string, stateful=False)
            return self._parse(tf.ensure_shape(record, [])), label

        return dataset.map(load, num_parallel_calls=PARALLEL_CALLS)

    def _parse(self, record: tf.Tensor) -> tf.Tensor:
        schema = {self.picture_key: tf.io.FixedLenFeature([], tf.string)}
        return tf.io.parse_single_example(record, schema)[self.picture_key]

    def _locate(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each picture's file, and of its record in that file."""
        ends = np.cumsum(self.counts)
        files = np.searchsorted(ends, self.places, side="right")
        return files, self.places - (ends - self.counts)[files]

    def choose(self, indices: np.ndarray) -> TFRecordSet:
        """Keep the pictures at these positions, in the order of the files."""
        indices = np.sort(indices)
        return replace(self, labels=self.labels.choose(indices), places=self.places[indices])

    def identities(self) -> list[Identity]:
        """Name pictures by file and record; stamp them with the file's path, size and time."""
        stamps = [
            # The feature is part of the stamp, because a record may hold several pictures.
            f"{path}|{stamped}|{self.picture_key}"
            for path, stamped in zip(self.files, for_each(stamp, self.files), strict=True)
        ]
        names = ["/".join(Path(path).parts[-2:]) for path in self.files]
        return [
            Identity(f"{names[file]}/{number}", stamps[file])
            for file, number in zip(*self._locate(), strict=True)
        ]

    def where(self) -> list[str]:
        """Return the file and the number of each record as a text for people."""
        return [
            name_tfrecord(self.files[file], number)
            for file, number in zip(*self._locate(), strict=True)
        ]


def name_tfrecord(path: str, number: int) -> str:
    """Return the name of a record for people; records are counted from 0."""
    return f"{path}, record {number}"
