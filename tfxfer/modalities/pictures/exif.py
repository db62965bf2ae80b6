"""The orientation of a JPEG photograph, read and applied in the graph.

Telephones save the sensor's pixels and note in the EXIF data how to turn them. TensorFlow's decoder
does not read that note. This code is part of the graph, so that training and serving both apply it.
"""

from __future__ import annotations

import tensorflow as tf

_WINDOW_BYTES = 4096  # The tag stands in the first directory, at the start of the EXIF data.
_MARKER = b"Exif\x00\x00"
# The marker stands in the file's first segment or, in most files that also have a JFIF header,
# behind its 18 bytes. Each of the two standards wants its own segment to be the first.
_FIRST, _SECOND = 6, 24
_ENTRY_BYTES = 12
_ORIENTATION_TAG = 0x0112


def upright(picture: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
    """Turn and mirror a picture as its EXIF orientation says.

    Args:
        picture: ``[height, width, 3]``, as decoded.
        encoded: Scalar string, the file that the picture was decoded from.

    Returns:
        The upright picture; it is unchanged if there is no orientation.
    """
    orientation = read_orientation(encoded)
    return tf.cond(orientation > 1, lambda: _turn(picture, orientation), lambda: picture)


def read_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Read the EXIF orientation of an encoded picture (EXIF 2.32, section 4.6.4 A).

    Args:
        encoded: Scalar string.

    Returns:
        Scalar int32, 1…8; 1 if the file is no JPEG or holds no valid orientation.
    """
    # `substr` refuses a position behind the end, so zeros are added.
    start = tf.strings.join([tf.strings.substr(encoded, 0, _WINDOW_BYTES), b"\0" * _SECOND * 2])
    is_first, is_second = (
        tf.strings.substr(start, place, len(_MARKER)) == _MARKER for place in (_FIRST, _SECOND)
    )
    is_jpeg = tf.strings.substr(start, 0, 3) == b"\xff\xd8\xff"
    base = tf.where(is_first, _FIRST, _SECOND) + len(_MARKER)
    return tf.cond(
        is_jpeg & (is_first | is_second),
        lambda: _read_directory(tf.io.decode_raw(start, tf.uint8), base),
        lambda: tf.constant(1),
    )


def _read_directory(header: tf.Tensor, base: tf.Tensor) -> tf.Tensor:
    """Return the orientation in the first directory of the TIFF structure that begins at `base`."""
    length = tf.size(header)
    is_little_endian = header[base] == ord("I")

    def number(position: tf.Tensor, count: int) -> tf.Tensor:
        """Read unsigned integers of `count` bytes; positions outside the window read its end."""
        offsets = tf.range(count)
        positions = position[..., tf.newaxis] + offsets
        values = tf.gather(header, tf.clip_by_value(positions, 0, length - 1))
        values = tf.cast(values, tf.int32)
        little = tf.bitwise.left_shift(values, 8 * offsets)
        big = tf.bitwise.left_shift(values, 8 * (count - 1 - offsets))
        return tf.reduce_sum(tf.where(is_little_endian, little, big), axis=-1)

    directory = base + tf.clip_by_value(number(base + 4, 4), 0, _WINDOW_BYTES)
    fitting = tf.maximum(0, (length - directory - 2) // _ENTRY_BYTES)
    entries = tf.minimum(number(directory, 2), fitting)
    positions = directory + 2 + _ENTRY_BYTES * tf.range(entries)
    is_orientation = number(positions, 2) == _ORIENTATION_TAG
    values = tf.boolean_mask(number(positions + 8, 2), is_orientation)
    orientation = tf.concat([values, [1]], axis=0)[0]
    is_valid = (orientation >= 1) & (orientation <= 8)
    return tf.where(is_valid, orientation, 1)


def _turn(picture: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Apply one of the eight orientations by a transposition and by mirroring the axes."""

    def is_any(*values: int) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(values))

    # Floats are transposed, because oneDNN logs an error for each transposition of bytes.
    floats = tf.cast(picture, tf.float32)
    turned = tf.cond(is_any(5, 6, 7, 8), lambda: tf.transpose(floats, [1, 0, 2]), lambda: floats)
    turned = tf.cond(is_any(2, 3, 6, 7), lambda: turned[:, ::-1], lambda: turned)
    turned = tf.cond(is_any(3, 4, 7, 8), lambda: turned[::-1], lambda: turned)
    return tf.cast(turned, picture.dtype)
