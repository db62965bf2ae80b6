"""The decoder of pictures, which training, audit and serving share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfxfer.modalities.pictures.exif import read_orientation, upright
from tfxfer.modalities.pictures.headers import (
    JPEG_START,
    START_BYTES,
    begins_as,
    holds,
    is_jpeg,
    refuse_large_jpeg,
    refuse_others,
    spread_texts,
    start_of,
)

# The first bytes of a file, unlike its ending, tell its format. A row is (offset, bytes, name).
_SIGNATURES = (
    (0, JPEG_START, "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WebP"),
    (0, b"GIF8", "GIF"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (4, b"ftyp", "HEIC or AVIF"),
)
# libjpeg can decode to these fractions of the size; it leaves out the high frequencies then.
_JPEG_SCALES = (1, 2, 4, 8)
# So many bytes hold the small chunks before a PNG's pixels, even if one is a colour profile.
_CHUNKS_BYTES = 8192
# A PNG begins so whose pixels have 8 or 16 bits and no alpha channel: grey (0) or RGB (2). The
# sources are PNG 1.2, sections 4.1.1 and 4.2.1.
_OPAQUE_PNGS = spread_texts(
    [{1: b"PNG", 24: bytes((bits, kind))} for bits in (8, 16) for kind in (0, 2)], START_BYTES
)
# The ratio of a random crop's sides is that of Inception's training (Szegedy et al. 2015).
_ASPECT_RATIOS = (3 / 4, 4 / 3)


def decode_picture(encoded: tf.Tensor, least_px: int | None = None) -> tf.Tensor:
    """Decode a picture as `decode_and_turn` does, and return the picture alone."""
    return decode_and_turn(encoded, least_px)[0]


def decode_and_turn(encoded: tf.Tensor, least_px: int | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode a JPEG, PNG, BMP or WebP picture in the graph.

    Grey pictures become RGB, CMYK is converted, 16 bits become 8, and transparent parts are laid
    over white. A photograph is turned as its EXIF data say.

    Args:
        encoded: Scalar string.
        least_px: The side that is enough. A JPEG that is at least twice as large is decoded at a
            half, a quarter or an eighth of its size, which takes less time.

    Returns:
        ``[height, width, 3]`` uint8, and the orientation in the file, scalar int32, 1…8, by which
        it was turned upright.

    Raises:
        tf.errors.InvalidArgumentError: The picture is broken or has another format, or its header
            announces more than `MOST_PIXELS`; no pixel is decoded then.
    """

    def decode_jpeg() -> tf.Tensor:
        shape = tf.image.extract_jpeg_shape(encoded)
        jpeg = refuse_large_jpeg(encoded, shape)
        return _by_scale(
            tf.reduce_min(shape[:2]),
            least_px,
            lambda scale: tf.io.decode_jpeg(jpeg, channels=3, ratio=scale),
        )

    picture = tf.cond(is_jpeg(encoded), decode_jpeg, lambda: _decode_other(encoded))
    orientation = read_orientation(encoded)
    return tf.ensure_shape(upright(picture, orientation), [None, None, 3]), orientation


def decode_random_crop(
    encoded: tf.Tensor, seed: tf.Tensor, min_area: float, least_px: int
) -> tf.Tensor:
    """Decode a random part of a picture; in a JPEG, only that part is decoded.

    Args:
        encoded: Scalar string.
        seed: ``[2]`` int64; the same seed gives the same part.
        min_area: The area of the smallest part, as a share of the picture's area.
        least_px: The side of the part that is enough, as in `decode_picture`.

    Returns:
        ``[height, width, 3]`` uint8.
    """

    def decode_jpeg() -> tf.Tensor:
        shape = tf.image.extract_jpeg_shape(encoded)
        jpeg = refuse_large_jpeg(encoded, shape)
        begin, size = _choose_crop(shape, seed, min_area)
        window = tf.concat([begin, size], axis=0)
        return _by_scale(
            tf.reduce_min(size),
            least_px,
            lambda scale: tf.io.decode_and_crop_jpeg(
                jpeg, window // scale, channels=3, ratio=scale
            ),
        )

    def decode_other() -> tf.Tensor:
        picture = _decode_other(encoded)
        begin, size = _choose_crop(tf.shape(picture), seed, min_area)
        return tf.slice(picture, tf.concat([begin, [0]], 0), tf.concat([size, [3]], 0))

    picture = tf.cond(is_jpeg(encoded), decode_jpeg, decode_other)
    return tf.ensure_shape(upright(picture, read_orientation(encoded)), [None, None, 3])


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
    """Decode a PNG, BMP or WebP picture, with transparent parts laid over white."""
    encoded = refuse_others(encoded)
    picture = tf.cond(
        _has_colour_key(encoded),
        lambda: tf.io.decode_image(encoded, channels=4, expand_animations=False),
        lambda: tf.io.decode_image(encoded, channels=0, expand_animations=False),
    )
    picture.set_shape([None, None, None])
    channels = tf.shape(picture)[2]
    # The fourth channel of a BMP is usually unused.
    is_bmp = tf.strings.substr(encoded, 0, 2) == b"BM"
    has_alpha = (channels % 2 == 0) & ~is_bmp
    picture = tf.cond(has_alpha, lambda: _lay_over_white(picture), lambda: picture)
    # A grey picture has one channel now. All others are RGB, a BMP perhaps with an unused channel.
    picture = tf.cond(channels < 3, lambda: tf.repeat(picture[..., :1], 3, -1), lambda: picture)
    return tf.ensure_shape(picture[..., :3], [None, None, 3])


def _has_colour_key(encoded: tf.Tensor) -> tf.Tensor:
    """Return whether a PNG without an alpha channel names one colour that is transparent.

    In PNG 1.2, section 4.2.1, it is the chunk tRNS of colour types 0 (grey) and 2 (RGB). TensorFlow
    applies it if four channels are asked for.
    """
    is_opaque = tf.reduce_any(begins_as(start_of(encoded), *_OPAQUE_PNGS))
    return is_opaque & holds(tf.strings.substr(encoded, 0, _CHUNKS_BYTES), b"tRNS")


def _lay_over_white(picture: tf.Tensor) -> tf.Tensor:
    """Mix the colours with white as the last channel, alpha, says."""
    floats = tf.cast(picture, tf.float32)
    alpha = floats[..., -1:] / 255.0
    return tf.cast(tf.round(floats[..., :-1] * alpha + 255.0 * (1.0 - alpha)), tf.uint8)


def _by_scale(
    short_px: tf.Tensor, least_px: int | None, decode: Callable[[int], tf.Tensor]
) -> tf.Tensor:
    """Decode at the smallest scale at which the short side has at least `least_px`."""
    if least_px is None:
        return decode(1)
    fitting = [short_px >= scale * least_px for scale in _JPEG_SCALES[1:]]
    index = tf.reduce_sum(tf.cast(tf.stack(fitting), tf.int32))
    return tf.switch_case(index, [lambda scale=scale: decode(scale) for scale in _JPEG_SCALES])


def _choose_crop(shape: tf.Tensor, seed: tf.Tensor, min_area: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the place and the size of a random window, each ``[2]`` int32: rows, columns."""
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        bounding_boxes=tf.zeros([1, 0, 4]),
        seed=seed,
        aspect_ratio_range=_ASPECT_RATIOS,
        area_range=(min_area, 1.0),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    # If no window could be found, the size is negative, which means the whole picture.
    return begin[:2], tf.where(size[:2] < 0, shape[:2], size[:2])


def resize_picture(picture: tf.Tensor, size_px: int) -> tf.Tensor:
    """Resize a whole picture to a square, bilinear and antialiased.

    The result equals ``tf.image.resize(picture, (size_px, size_px), antialias=True)`` bit for bit.
    It takes half of the time if the picture is twice as large as the square.

    Args:
        picture: ``[height, width, 3]``, 0…255.
        size_px: The side of the square in pixels.

    Returns:
        ``[size_px, size_px, 3]`` float32, 0…255.
    """
    turned = tf.transpose(_resize_rows(picture, size_px), [1, 0, 2])
    resized = tf.transpose(_resize_rows(turned, size_px), [1, 0, 2])
    return tf.clip_by_value(tf.ensure_shape(resized, [size_px, size_px, 3]), 0.0, 255.0)


def _resize_rows(picture: tf.Tensor, size_px: int) -> tf.Tensor:
    """Resize the first axis alone: ``[size_px, width, 3]`` float32.

    TensorFlow's kernel handles the channels of a pixel as one vector, but each pixel of a row by
    itself. So a whole row is passed here as the channels of a single pixel.
    """
    height, width, _ = tf.unstack(tf.shape(picture))
    scale = size_px / tf.cast(height, tf.float32)
    resized = tf.raw_ops.ScaleAndTranslate(
        images=tf.reshape(picture, [1, height, 1, width * 3]),
        size=[size_px, 1],
        scale=tf.stack([scale, 1.0]),
        translation=np.zeros(2, np.float32),
        kernel_type="triangle",
        antialias=True,
    )
    return tf.reshape(resized, [size_px, -1, 3])


def sniff(start: bytes) -> str | None:
    """Name a picture's format by its first 16 bytes; give None if the format is unknown."""
    for offset, signature, name in _SIGNATURES:
        if start[offset : offset + len(signature)] == signature:
            return name
    return None
