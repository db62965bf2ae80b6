"""The orientation of a photograph, read and applied in the graph.

Telephones save the sensor's pixels and note in the EXIF data how to turn them. TensorFlow's decoder
does not read that note. This code is part of the graph, so that audit, training and serving all
apply the same one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfxfer.modalities.pictures.headers import begins_as, bytes_at, holds, spread_texts

_HEAD_BYTES = 12  # The head of a part, which says what it is and how long, has at most so many.


class _Format(NamedTuple):
    """How a file of one format is divided into parts: a JPEG's segments, or chunks.

    Attributes:
        begin: The first bytes of the file, by their places.
        name: Bytes that stand in every file with EXIF data.
        first: The place of the first part.
        exif: The bytes at the beginning of the part with EXIF data, by their places.
        length: The factor of each byte of a part's head in the part's length.
        added: The number of bytes that the length does not count.
        data: The place of the data in the part.
        is_even: Whether a part takes an even number of bytes.
    """

    begin: dict[int, bytes]
    name: bytes
    first: int
    exif: dict[int, bytes]
    length: dict[int, int]
    added: int
    data: int
    is_even: bool = False


# The sources are ITU-T T.81, section B.1.1, and EXIF 2.32, section 4.7.2 (JPEG); PNG 3, sections
# 5.3 and 11.3.3.5; RFC 9649, sections 2.3 and 2.7.1.5 (WebP).
_FORMATS = (
    _Format(
        {0: b"\xff\xd8\xff"}, b"Exif\0", 2, {0: b"\xff\xe1", 4: b"Exif\0"}, {2: 1 << 8, 3: 1}, 2, 4
    ),
    _Format(
        {0: b"\x89PNG"}, b"eXIf", 8, {4: b"eXIf"}, {i: 1 << 8 * (3 - i) for i in range(4)}, 12, 8
    ),
    _Format(
        {0: b"RIFF", 8: b"WEBP"}, b"EXIF", 12, {0: b"EXIF"},
        {4 + i: 1 << 8 * i for i in range(4)}, 8, 8, is_even=True,
    ),
)  # fmt: skip
_MOST_PARTS = 4096  # A file that was made to hold a server up has more of them.
_JPEG = 0  # the place of its row
_FILL, _START_OF_SCAN = 0xFF, 0xDA
# In a JPEG and in some other files, the data begin with this name and one more byte.
_PREFIX = b"Exif\0"
# The directory of EXIF data (TIFF 6.0, section 2): entries of 12 bytes behind their number.
_ENTRY_BYTES, _MOST_ENTRIES = 12, 512
_ORIENTATION_TAG = 0x0112
# The columns of a directory are the tag, the type of the value, and the value by its type: BYTE,
# SHORT or LONG. Each number has a place and a size in an entry.
_COLUMNS = ((0, 2), (2, 2), (8, 1), (8, 2), (8, 4))
_TYPES = (1, 3, 4)
# By orientation (EXIF 2.32, section 4.6.4 A), from 0, which no picture has: the order of the axes
# rows, columns and channels, and which of them are then mirrored.
_ORDERS = np.array([(1, 0, 2) if place > 4 else (0, 1, 2) for place in range(9)])
_MIRRORED = np.array([(place in (3, 4, 7, 8), place in (2, 3, 6, 7), False) for place in range(9)])
# EXIF data with an entry have a header of 8 bytes, the number of entries, and the entry.
_FEWEST_BYTES = 8 + 2 + _ENTRY_BYTES


def _factors(numbers: tuple[tuple[int, int], ...], is_little_endian: bool) -> np.ndarray:
    """Return the factors of 12 bytes in numbers with a place and a size, ``[12, numbers]``."""
    factors = np.zeros((_ENTRY_BYTES, len(numbers)))
    for column, (place, size) in enumerate(numbers):
        powers = 256.0 ** np.arange(size)
        factors[place : place + size, column] = powers if is_little_endian else powers[::-1]
    return factors


_BEGINS, _EXIFS = (
    spread_texts([getattr(row, key) for row in _FORMATS], _HEAD_BYTES) for key in ("begin", "exif")
)
# A row has the bytes that count at the beginning of the part with EXIF data, their values, the
# factors of a part's length, and the numbers `first`, `added`, `data` and `is_even`.
_TABLE = np.concatenate(
    [
        *_EXIFS,
        [[row.length.get(i, 0) for i in range(_HEAD_BYTES)] for row in _FORMATS],
        [[row.first, row.added, row.data, row.is_even] for row in _FORMATS],
    ],
    axis=1,
).astype(np.int64)
_ENTRY_FACTORS = np.stack([_factors(_COLUMNS, is_little) for is_little in (False, True)])
_COUNT_FACTORS = np.array([[256.0, 1.0], [1.0, 256.0]])
_OFFSET_FACTORS = np.stack([_factors(((4, 4),), is_little) for is_little in (False, True)])


def upright(picture: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn and mirror a picture as its EXIF orientation says.

    Args:
        picture: ``[height, width, 3]``, as decoded.
        orientation: Scalar int32, as `read_orientation` reads it from the picture's file.

    Returns:
        The upright picture.
    """
    return tf.cond(orientation > 1, lambda: _turn(picture, orientation), lambda: picture)


def read_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Read the EXIF orientation of an encoded picture (EXIF 2.32, section 4.6.4 A).

    EXIF data stand in a JPEG's segment APP1, a PNG's chunk eXIf or a WebP's chunk EXIF, behind any
    other segments and chunks.

    Args:
        encoded: Scalar string.

    Returns:
        Scalar int32, 1…8; 1 if the file has another format or holds no valid orientation.
    """
    begins = begins_as(bytes_at(encoded, 0, _HEAD_BYTES), *_BEGINS)
    kind = tf.argmax(begins)
    # Most files hold no EXIF data, and it takes less time to search them than to walk through them.
    name = tf.gather([row.name for row in _FORMATS], kind)
    may_hold = tf.reduce_any(begins) & holds(encoded, name)
    return tf.cond(
        may_hold, lambda: _read_directory(_find_data(encoded, kind)), lambda: tf.constant(1)
    )


def _find_data(encoded: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """Walk through the parts of a file, and return its EXIF data; empty if there are none.

    Args:
        kind: Scalar int64, the place of its format's row.
    """
    row = tf.gather(_TABLE, kind)
    *exif, lengths, numbers = tf.split(row, [_HEAD_BYTES, _HEAD_BYTES, _HEAD_BYTES, 4])
    first, added, data, evenness = tf.unstack(numbers)
    size = tf.cast(tf.strings.length(encoded), tf.int64)
    is_jpeg = kind == _JPEG

    def step(place: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, ...]:
        head = _read_bytes(encoded, place, _HEAD_BYTES)
        length = tf.reduce_sum(head * lengths)
        # Some programs leave an empty segment before the real one.
        is_exif = begins_as(head, *exif) & (length + added - data >= _FEWEST_BYTES)
        # A JPEG's pixels follow SOS. Any number of fill bytes may stand before a marker.
        is_last = is_jpeg & ((head[0] != _FILL) | (head[1] == _START_OF_SCAN))
        is_fill = is_jpeg & (head[1] == _FILL)
        whole = tf.where(is_fill, tf.ones_like(length), length + added + evenness * (length % 2))
        ends = is_exif | is_last
        following = tf.where(ends, place, place + whole)
        return following, tf.where(is_exif, length + added - data, nothing), ends

    nothing = tf.zeros_like(size)
    place, length, _ = tf.while_loop(
        lambda place, length, ends: ~ends & (place < size),
        step,
        (first, nothing, size < 0),
        maximum_iterations=_MOST_PARTS,
    )
    return tf.strings.substr(encoded, tf.minimum(place + data, size), tf.maximum(length, 0))


def _read_bytes(text: tf.Tensor, place: tf.Tensor, count: int) -> tf.Tensor:
    """Return `count` bytes from a place on, ``[count]`` int64; zeros if it lies behind the end."""
    begin = tf.minimum(place, tf.cast(tf.strings.length(text), tf.int64))
    return tf.cast(bytes_at(text, begin, count), tf.int64)


def _read_directory(data: tf.Tensor) -> tf.Tensor:
    """Return the orientation in the first directory of EXIF data (TIFF 6.0, section 2)."""
    has_prefix = tf.strings.substr(data, 0, len(_PREFIX)) == _PREFIX
    base = tf.where(has_prefix, np.int64(len(_PREFIX) + 1), np.int64(0))
    header = tf.cast(_read_bytes(data, base, _ENTRY_BYTES), tf.float64)
    endianness = tf.cast(header[0] == ord("I"), tf.int32)
    offset = tf.linalg.matvec(tf.gather(_OFFSET_FACTORS, endianness), header, transpose_a=True)[0]
    place = base + tf.cast(offset, tf.int64)
    directory = tf.cast(_read_bytes(data, place, 2 + _ENTRY_BYTES * _MOST_ENTRIES), tf.float64)
    count = tf.reduce_sum(directory[:2] * tf.gather(_COUNT_FACTORS, endianness))
    entries = tf.reshape(directory[2:], [_MOST_ENTRIES, _ENTRY_BYTES])
    # These numbers have at most 32 bits, so that float64 holds them exactly.
    columns = tf.matmul(entries, tf.gather(_ENTRY_FACTORS, endianness))
    tags, types, values = columns[:, 0], columns[:, 1:2], columns[:, 2:]
    is_here = (tags == _ORIENTATION_TAG) & (tf.range(_MOST_ENTRIES, dtype=tf.float64) < count)
    values = tf.reduce_sum(tf.where(types == np.array(_TYPES, np.float64), values, 0.0), axis=1)
    orientation = tf.concat([tf.boolean_mask(values, is_here), [1.0]], axis=0)[0]
    is_valid = (orientation >= 1.0) & (orientation <= 8.0)
    return tf.cast(tf.where(is_valid, orientation, 1.0), tf.int32)


def _turn(picture: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Apply one of the eight orientations by a transposition and by mirroring the axes."""
    # Floats are transposed, because oneDNN logs an error for each transposition of bytes.
    floats = tf.cast(picture, tf.float32)
    turned = tf.transpose(floats, tf.gather(_ORDERS, orientation))
    turned = tf.raw_ops.Reverse(tensor=turned, dims=tf.gather(_MIRRORED, orientation))
    return tf.cast(turned, picture.dtype)
