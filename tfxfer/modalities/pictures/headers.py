"""The headers of encoded pictures, read in the graph, and the pictures refused because of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

JPEG_START = b"\xff\xd8\xff"
# Above this limit, Pillow raises `DecompressionBombError`. With three channels, it is also the
# size of the largest picture that TensorFlow decodes.
MOST_PIXELS = 178_956_970
_TOO_LARGE = f"A picture may have at most {MOST_PIXELS:,} pixels. Received: more. Shrink it."
_MOVING = "A picture must not move. Received: a GIF or an animated WebP. Save one frame of it."
START_BYTES = 32

# A number in a header consists of bytes: (place, mask of the bits that count, factor).
Number = tuple[tuple[int, int, float], ...]


def _big(place: int) -> Number:
    return tuple((place + i, 255, 256.0 ** (3 - i)) for i in range(4))


def _little(place: int, count: int) -> Number:
    return tuple((place + i, 255, 256.0**i) for i in range(count))


# The decoders of TensorFlow and libwebp read the sides here. A row holds the bytes that tell the
# format by their places, the width, the height, and the number that is added to both. The sources
# are PNG 1.2, section 4.1.1; BITMAPINFOHEADER; RFC 6386, section 9.1 ("VP8 "); RFC 9649, sections
# 3.4 ("VP8L") and 2.7 ("VP8X").
_SIZES: tuple[tuple[dict[int, bytes], Number, Number, int], ...] = (
    ({0: b"\x89PNG"}, _big(16), _big(20), 0),
    ({0: b"BM"}, _little(18, 4), _little(22, 4), 0),
    ({8: b"WEBPVP8 "}, ((26, 255, 1), (27, 63, 256)), ((28, 255, 1), (29, 63, 256)), 0),
    (
        {8: b"WEBPVP8L"},
        ((21, 255, 1), (22, 63, 256)),
        ((22, 192, 1 / 64), (23, 255, 4), (24, 15, 1024)),
        1,
    ),
    ({8: b"WEBPVP8X"}, _little(24, 3), _little(27, 3), 1),
)
# A picture with several frames begins with the first bytes and has the second's bits set.
_MOVING_STARTS: tuple[tuple[dict[int, bytes], dict[int, int]], ...] = (
    ({0: b"GIF8"}, {}),
    ({8: b"WEBPVP8X"}, {20: 2}),
)


def is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Return whether an encoded picture is a JPEG, by its first bytes."""
    return tf.strings.substr(encoded, 0, len(JPEG_START)) == JPEG_START


def refuse_large_jpeg(encoded: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Return a JPEG after a check of its size; its decoder must take the returned tensor.

    Args:
        encoded: Scalar string.
        shape: ``[3]`` int32, as `tf.image.extract_jpeg_shape` reads it.

    Raises:
        tf.errors.InvalidArgumentError: The picture has more than `MOST_PIXELS`.
    """
    pixels = tf.reduce_prod(tf.cast(shape[:2], tf.int64))
    return _give_on(encoded, pixels <= MOST_PIXELS, _TOO_LARGE)


def refuse_others(encoded: tf.Tensor) -> tf.Tensor:
    """Return a PNG, BMP or WebP picture after checks; its decoder must take the returned tensor.

    Raises:
        tf.errors.InvalidArgumentError: The header announces more than `MOST_PIXELS`, or the
            picture moves: it is a GIF or an animated WebP.
    """
    start = start_of(encoded)
    is_moving = tf.reduce_any(begins_as(start, *_MOVING_TABLES))
    is_fine = (_count_pixels(start) <= MOST_PIXELS) & ~is_moving
    # TensorFlow 2.21 writes past the end of its memory for an animated WebP. An empty string, which
    # is no picture, keeps the decoder from that even if it runs before the check.
    harmless = tf.where(is_fine, encoded, b"")
    return _give_on(harmless, is_fine, tf.where(is_moving, _MOVING, _TOO_LARGE))


def count_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Return how many pixels the header of a PNG, BMP or WebP picture announces.

    Args:
        encoded: Scalar string.

    Returns:
        Scalar float64; 0 for any other content.
    """
    return _count_pixels(start_of(encoded))


def _count_pixels(start: tf.Tensor) -> tf.Tensor:
    masks, weights, added = _SIDE_TABLES
    sides = tf.reduce_sum(tf.cast(tf.bitwise.bitwise_and(start, masks), tf.float64) * weights, -1)
    sides += added
    # A BMP whose rows are stored from the top has a negative height.
    pixels = tf.reduce_prod(tf.minimum(sides, 2.0**32 - sides), axis=1)
    return tf.reduce_sum(tf.where(begins_as(start, *_SIZE_TABLES), pixels, 0.0))


def start_of(encoded: tf.Tensor) -> tf.Tensor:
    """Return the first bytes, ``[32]`` uint8, with zeros behind the end."""
    return bytes_at(encoded, 0, START_BYTES)


def bytes_at(text: tf.Tensor, place: tf.Tensor | int, count: int) -> tf.Tensor:
    """Return `count` bytes from a place on, ``[count]`` uint8, with zeros behind the end.

    Args:
        text: Scalar string.
        place: Scalar integer, at most the length of the text.
        count: The number of bytes.
    """
    part = tf.strings.substr(text, place, count)
    return tf.io.decode_raw(part, tf.uint8, fixed_length=count)


def holds(text: tf.Tensor, name: tf.Tensor | bytes) -> tf.Tensor:
    """Return whether a text holds another one anywhere, scalar bool."""
    pieces = tf.raw_ops.StringSplitV2(input=[text], sep=name, maxsplit=1)
    return tf.size(pieces.values) > 1


def begins_as(start: tf.Tensor, bits: np.ndarray, values: np.ndarray) -> tf.Tensor:
    """Return which of some formats the first bytes belong to, ``[formats]`` bool."""
    masks = tf.cast(bits, start.dtype)
    return tf.reduce_all(tf.bitwise.bitwise_and(start, masks) == tf.cast(values, start.dtype), -1)


def _give_on(encoded: tf.Tensor, is_fine: tf.Tensor, reason: tf.Tensor | str) -> tf.Tensor:
    """Return the same string, which the graph computes only after the check has passed."""
    # `tf.debugging.Assert` would put its only operation into a function of its own.
    with tf.control_dependencies([tf.raw_ops.Assert(condition=is_fine, data=[reason])]):
        return tf.identity(encoded)


def _make_tables(starts, flags) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each format, the deciding bits of the first bytes and their values: uint8."""
    bits, values = spread_texts(starts, START_BYTES)
    for row, flagged in enumerate(flags):
        for place, flag in flagged.items():
            bits[row, place] = values[row, place] = flag
    return bits, values


def spread_texts(rows: Sequence[dict[int, bytes]], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each row of texts by their places, the bits that count and their values.

    Args:
        rows: The texts of each row.
        length: The number of bytes that they lie in.

    Returns:
        Two arrays ``[rows, length]`` uint8.
    """
    bits = np.zeros((len(rows), length), np.uint8)
    values = np.zeros_like(bits)
    for row, texts in enumerate(rows):
        for place, text in texts.items():
            bits[row, place : place + len(text)] = 255
            values[row, place : place + len(text)] = list(text)
    return bits, values


def _make_side_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each format and side, the mask and factor of each byte, and what is added."""
    masks = np.zeros((len(_SIZES), 2, START_BYTES), np.uint8)
    weights = np.zeros(masks.shape)
    for row, (_, *sides, _) in enumerate(_SIZES):
        for side, number in enumerate(sides):
            for place, bits, weight in number:
                masks[row, side, place], weights[row, side, place] = bits, weight
    return masks, weights, np.array([[added] for *_, added in _SIZES], np.float64)


_SIZE_TABLES = _make_tables([start for start, *_ in _SIZES], [{}] * len(_SIZES))
_SIDE_TABLES = _make_side_tables()
_MOVING_TABLES = _make_tables([s for s, _ in _MOVING_STARTS], [f for _, f in _MOVING_STARTS])
