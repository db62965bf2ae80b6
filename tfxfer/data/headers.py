"""What an encoded picture's first bytes say of it, and what is refused for it, in the graph."""

from __future__ import annotations

import tensorflow as tf

JPEG_START = b"\xff\xd8\xff"
# Pillow's own limit, above which it raises `DecompressionBombError`; with three channels it is the
# size of the largest picture that TensorFlow decodes.
MOST_PIXELS = 178_956_970
_TOO_LARGE = f"A picture may have at most {MOST_PIXELS:,} pixels. Received: more. Shrink it."
_MOVING = "A picture must not move. Received: a GIF or an animated WebP. Save one frame of it."
_START_BYTES = 32
_WEBP_SIDE = 0x3FFF  # the bits that hold one


def is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Whether an encoded picture is a JPEG, by its first bytes."""
    return tf.strings.substr(tf.strings.join([encoded, b"\0\0\0"]), 0, 3) == JPEG_START


def refuse_large_jpeg(encoded: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Give a JPEG on, which whoever decodes it must take from here.

    Args:
        encoded: scalar string.
        shape: ``[3]`` int32, as `tf.image.extract_jpeg_shape` reads it.

    Raises:
        tf.errors.InvalidArgumentError: it has more than `MOST_PIXELS`.
    """
    pixels = tf.reduce_prod(tf.cast(shape[:2], tf.int64))
    return _give_on(encoded, pixels <= MOST_PIXELS, _TOO_LARGE)


def refuse_others(encoded: tf.Tensor) -> tf.Tensor:
    """Give a PNG, BMP or WebP picture on, which whoever decodes it must take from here.

    Raises:
        tf.errors.InvalidArgumentError: its header announces more than `MOST_PIXELS`, or it moves:
            it is a GIF or an animated WebP.
    """
    start = _start_of(encoded)
    is_moving = (tf.strings.substr(start, 0, 4) == b"GIF8") | _is_animated_webp(start)
    is_fine = (count_pixels(encoded) <= MOST_PIXELS) & ~is_moving
    # TensorFlow 2.21 writes past the end of its memory for an animated WebP; nothing is no picture.
    harmless = tf.where(is_fine, encoded, b"")
    return _give_on(harmless, is_fine, tf.where(is_moving, _MOVING, _TOO_LARGE))


def count_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """How many pixels a PNG, BMP or WebP picture says that it has.

    The fields are read where the decoders of TensorFlow and libwebp read them: PNG 1.2, section
    4.1.1; BITMAPINFOHEADER; RFC 6386, section 9.1 (``VP8 ``), and RFC 9649, sections 2.7 (``VP8X``)
    and 3.4 (``VP8L``).

    Args:
        encoded: scalar string.

    Returns:
        Scalar int64; 0 for anything else.
    """
    start = _start_of(encoded)

    def pair(place: int, kind: tf.DType, is_little_endian: bool = True) -> tf.Tensor:
        """Two neighbouring numbers, ``[2]`` int64."""
        two = tf.strings.substr(start, place, 2 * kind.size)
        return tf.abs(tf.cast(tf.io.decode_raw(two, kind, is_little_endian), tf.int64))

    # The bits of both sides of a VP8L picture stand one behind the other.
    both = tf.bitwise.right_shift(pair(21, tf.uint16)[0] + 65536 * pair(21, tf.uint16)[1], [0, 14])
    # Three bytes each.
    canvas = tf.strings.join([tf.strings.substr(start, place, 3) for place in (24, 27)], b"\0")
    canvas = tf.io.decode_raw(tf.strings.join([canvas, b"\0"]), tf.int32)
    kind, webp = tf.strings.substr(start, 0, 2), tf.strings.substr(start, 8, 8)
    is_kind = [kind == b"\x89P", kind == b"BM", webp == b"WEBPVP8 ", webp == b"WEBPVP8L",
               webp == b"WEBPVP8X"]  # fmt: skip
    sides = [
        pair(16, tf.int32, is_little_endian=False),
        pair(18, tf.int32),
        tf.bitwise.bitwise_and(pair(26, tf.uint16), _WEBP_SIDE),
        tf.bitwise.bitwise_and(both, _WEBP_SIDE) + 1,
        tf.cast(canvas, tf.int64) + 1,
    ]
    pixels = tf.reduce_prod(tf.stack(sides), axis=1)
    return tf.reduce_sum(tf.where(tf.stack(is_kind), pixels, 0))


def _start_of(encoded: tf.Tensor) -> tf.Tensor:
    """The first bytes, filled up: `substr` refuses a position behind the end."""
    return tf.strings.substr(tf.strings.join([encoded, b"\0" * _START_BYTES]), 0, _START_BYTES)


def _is_animated_webp(start: tf.Tensor) -> tf.Tensor:
    """Whether it is a WebP with several frames (its VP8X header has the flag)."""
    is_extended = tf.strings.substr(start, 8, 8) == b"WEBPVP8X"
    flags = tf.io.decode_raw(tf.strings.substr(start, 20, 1), tf.uint8)[0]
    return is_extended & (tf.bitwise.bitwise_and(flags, tf.constant(2, tf.uint8)) > 0)


def _give_on(encoded: tf.Tensor, is_fine: tf.Tensor, reason: tf.Tensor | str) -> tf.Tensor:
    """The same string, which is there only when the check has passed."""
    with tf.control_dependencies([tf.debugging.Assert(is_fine, [reason])]):
        return tf.identity(encoded)
