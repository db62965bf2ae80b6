"""From an encoded picture to pixels: the one decoder of training, checking and serving."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfxfer.modalities.pictures.exif import upright
from tfxfer.modalities.pictures.headers import JPEG_START, is_jpeg, refuse_large_jpeg, refuse_others

# What a file is, by its first bytes; its ending may lie. (offset, bytes, name)
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
READABLE = ("JPEG", "PNG", "BMP", "WebP")
# libjpeg leaves out the high frequencies where it decodes to a part of the size.
_JPEG_SCALES = (1, 2, 4, 8)
# A PNG's small chunks stand before its pixels; a colour profile may be among them.
_CHUNKS_BYTES = 8192
# Sides' ratio of a random crop, as in Inception's training (Szegedy et al. 2015).
_ASPECT_RATIOS = (3 / 4, 4 / 3)


def decode_picture(encoded: tf.Tensor, least_px: int | None = None) -> tf.Tensor:
    """Decode a JPEG, PNG, BMP or WebP picture in the graph.

    Grey pictures become RGB, CMYK is converted, 16 bits become 8, what is transparent is laid over
    white; a photograph is turned as its EXIF data say.

    Args:
        encoded: scalar string.
        least_px: sides of this length are enough: a JPEG that is at least twice as large is
            decoded at a half, a quarter or an eighth of its size, which takes less time.

    Returns:
        ``[height, width, 3]`` uint8.

    Raises:
        tf.errors.InvalidArgumentError: it is broken or none of these, or its header announces more
            than `MOST_PIXELS`, of which none is decoded then.
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
    return tf.ensure_shape(upright(picture, encoded), [None, None, 3])


def decode_random_crop(
    encoded: tf.Tensor, seed: tf.Tensor, min_area: float, least_px: int
) -> tf.Tensor:
    """Decode a random part of a picture; of a JPEG, only that part is decoded.

    Args:
        encoded: scalar string.
        seed: ``[2]`` int64; the same seed gives the same part.
        min_area: smallest part, as a share of the picture's area.
        least_px: as in `decode_picture`, for the part.

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
    return tf.ensure_shape(upright(picture, encoded), [None, None, 3])


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
    """Decode a PNG, BMP or WebP picture; what is transparent is laid over white."""
    encoded = refuse_others(encoded)
    picture = tf.cond(
        _has_colour_key(encoded),
        lambda: tf.io.decode_image(encoded, channels=4, expand_animations=False),
        lambda: tf.io.decode_image(encoded, channels=0, expand_animations=False),
    )
    picture.set_shape([None, None, None])
    channels = tf.shape(picture)[2]
    # The fourth channel of a BMP is mostly filling.
    is_bmp = tf.strings.substr(tf.strings.join([encoded, b"\0\0"]), 0, 2) == b"BM"
    has_alpha = (channels % 2 == 0) & ~is_bmp
    picture = tf.cond(has_alpha, lambda: _lay_over_white(picture), lambda: picture)
    # Grey is one channel by now, or was two; the rest is RGB, and a BMP's filling.
    picture = tf.cond(channels < 3, lambda: tf.repeat(picture[..., :1], 3, -1), lambda: picture)
    return tf.ensure_shape(picture[..., :3], [None, None, 3])


def _has_colour_key(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a PNG without an alpha channel names one colour that is transparent.

    PNG 1.2, section 4.2.1: the chunk tRNS of colour types 0 (grey) and 2 (RGB). TensorFlow applies
    it where four channels are asked for.
    """
    start = tf.strings.substr(tf.strings.join([encoded, b"\0" * 26]), 0, _CHUNKS_BYTES)
    header = tf.io.decode_raw(tf.strings.substr(start, 24, 2), tf.uint8)
    is_png = tf.strings.substr(start, 1, 3) == b"PNG"
    is_plain = (header[0] >= 8) & ((header[1] == 0) | (header[1] == 2))
    return is_png & is_plain & (tf.size(tf.strings.split(start, b"tRNS")) > 1)


def _lay_over_white(picture: tf.Tensor) -> tf.Tensor:
    """Mix the channels with white as the last one, the alpha channel, says."""
    floats = tf.cast(picture, tf.float32)
    alpha = floats[..., -1:] / 255.0
    return tf.cast(tf.round(floats[..., :-1] * alpha + 255.0 * (1.0 - alpha)), tf.uint8)


def _by_scale(
    short_px: tf.Tensor, least_px: int | None, decode: Callable[[int], tf.Tensor]
) -> tf.Tensor:
    """Decode at the smallest scale that leaves `least_px` of the short side."""
    if least_px is None:
        return decode(1)
    fitting = [short_px >= scale * least_px for scale in _JPEG_SCALES[1:]]
    index = tf.reduce_sum(tf.cast(tf.stack(fitting), tf.int32))
    return tf.switch_case(index, [lambda scale=scale: decode(scale) for scale in _JPEG_SCALES])


def _choose_crop(shape: tf.Tensor, seed: tf.Tensor, min_area: float) -> tuple[tf.Tensor, tf.Tensor]:
    """A random window's place and size, ``[2]`` int32 each: rows, columns."""
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        bounding_boxes=tf.zeros([1, 0, 4]),
        seed=seed,
        aspect_ratio_range=_ASPECT_RATIOS,
        area_range=(min_area, 1.0),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    # A negative size means all there is, where no window could be found.
    return begin[:2], tf.where(size[:2] < 0, shape[:2], size[:2])


def resize_picture(picture: tf.Tensor, size_px: int) -> tf.Tensor:
    """Resize a picture to a square, bilinear and antialiased; the whole picture stays in it.

    It gives what ``tf.image.resize(picture, (size_px, size_px), antialias=True)`` does, bit for
    bit, in half of the time where a picture is twice as large.

    Args:
        picture: ``[height, width, 3]``, 0…255.
        size_px: side of the square in pixels.

    Returns:
        ``[size_px, size_px, 3]`` float32, 0…255.
    """
    turned = tf.transpose(_resize_rows(picture, size_px), [1, 0, 2])
    resized = tf.transpose(_resize_rows(turned, size_px), [1, 0, 2])
    return tf.clip_by_value(tf.ensure_shape(resized, [size_px, size_px, 3]), 0.0, 255.0)


def _resize_rows(picture: tf.Tensor, size_px: int) -> tf.Tensor:
    """Resize the first axis alone: ``[size_px, width, 3]`` float32.

    TensorFlow's kernel handles rows as whole vectors, but each pixel of a row by itself. So the
    rest of a row stands here as the channels of a single pixel.
    """
    shape = tf.shape(picture)
    scale = size_px / tf.cast(shape[0], tf.float32)
    resized = tf.raw_ops.ScaleAndTranslate(
        images=tf.reshape(picture, [1, shape[0], 1, shape[1] * 3]),
        size=[size_px, 1],
        scale=tf.stack([scale, 1.0]),
        translation=tf.zeros([2]),
        kernel_type="triangle",
        antialias=True,
    )
    return tf.reshape(resized, [size_px, -1, 3])


def sniff(start: bytes) -> str | None:
    """Name a picture's format by its first 16 bytes; None if it is none that is known."""
    for offset, signature, name in _SIGNATURES:
        if start[offset : offset + len(signature)] == signature:
            return name
    return None
