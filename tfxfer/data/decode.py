"""From an encoded picture to pixels: the one decoder of training, checking and serving."""

from __future__ import annotations

import tensorflow as tf

from tfxfer.data.exif import upright

# What a file is, by its first bytes; its ending may lie. (offset, bytes, name)
_SIGNATURES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WebP"),
    (0, b"GIF8", "GIF"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (4, b"ftyp", "HEIC or AVIF"),
)
READABLE = ("JPEG", "PNG", "BMP", "WebP")


def decode_picture(encoded: tf.Tensor) -> tf.Tensor:
    """Decode a JPEG, PNG, BMP or WebP picture in the graph.

    Grey pictures become RGB, CMYK is converted, 16 bits become 8; a photograph is turned as its
    EXIF data say.

    Args:
        encoded: scalar string.

    Returns:
        ``[height, width, 3]`` uint8.
    """
    picture = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    picture.set_shape([None, None, 3])
    return tf.ensure_shape(upright(picture, encoded), [None, None, 3])


def resize_picture(picture: tf.Tensor, size_px: int) -> tf.Tensor:
    """Resize a picture to a square, bilinear and antialiased; the whole picture stays in it.

    Args:
        picture: ``[height, width, 3]``, 0…255.
        size_px: side of the square in pixels.

    Returns:
        ``[size_px, size_px, 3]`` float32, 0…255.
    """
    resized = tf.image.resize(picture, (size_px, size_px), antialias=True)
    return tf.clip_by_value(resized, 0.0, 255.0)


def sniff(start: bytes) -> str | None:
    """Name a picture's format by its first 16 bytes; None if it is none that is known."""
    for offset, signature, name in _SIGNATURES:
        if start[offset : offset + len(signature)] == signature:
            return name
    return None
