"""The first look at every picture before training: whether it is usable, and what is unusual."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from PIL import Image

from tfxfer.data.items import PARALLEL_CALLS, FileSet, ItemSet, untuned
from tfxfer.machine.files import read_bytes
from tfxfer.modalities.pictures.copies import find_copies
from tfxfer.modalities.pictures.decode import decode_and_turn, sniff
from tfxfer.modalities.pictures.headers import MOST_PIXELS
from tfxfer.modalities.pictures.oddities import THUMBNAIL_PX
from tfxfer.modalities.pictures.settings import FORMATS
from tfxfer.records.audits import Copies, Look

_TOO_LARGE = f"of more than {MOST_PIXELS:,} pixels; shrink it"
_GIGANTIC_PIXELS, _TINY_PX, _NARROW_RATIO = 40_000_000, 32, 4.0
# A picture is constant if the standard deviation of its thumbnail, 0…255, lies below this.
_CONSTANT_BELOW = 1.0
# A picture of 16 bits is dark if no value of its thumbnail, 0…255, reaches this: one of 12 bits has
# values up to 15.
_DARK_BELOW = 24
_START_BYTES = 32
_ENDINGS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG",
    ".bmp": "BMP", ".webp": "WebP",
}  # fmt: skip
# So many pictures are held in memory at the same time.
_HELD = 64
# What the header of a picture says, and the picture's bytes.
_Read: TypeAlias = tuple[Look, bytes]


def look_at_pictures(
    pictures: ItemSet, show: Callable[[int], None] = lambda done: None
) -> list[Look]:
    """Look at pictures with the decoder that training and serving use, several at a time.

    Args:
        pictures: The pictures, from any source.
        show: A function that is called now and then with the number of finished pictures.

    Returns:
        One look for each picture, in order.
    """
    if isinstance(pictures, FileSet):
        # Files are read one by one, because an unreadable one must not stop the others.
        return _look_at_each(_read_file, zip(pictures.paths), show)
    encoded = untuned(pictures.encoded().map(lambda encoded, _: encoded).prefetch(_HELD))
    read = map(bytes, encoded.as_numpy_iterator())
    return _look_at_each(_read_encoded, zip(pictures.where(), read, strict=True), show)


def _look_at_each(
    read: Callable[..., _Read], arguments: Iterable[tuple[Any, ...]], show: Callable[[int], None]
) -> list[Look]:
    looks: list[Look] = []
    remaining = iter(arguments)
    with ThreadPoolExecutor(PARALLEL_CALLS) as pool:
        while window := list(islice(remaining, _HELD)):
            looks += _decode_all(list(pool.map(read, *zip(*window, strict=True))))
            show(len(looks))
    return looks


def look_at_file(path: str) -> Look:
    """Look at one file."""
    return _decode(*_read_file(path))


def look_at_encoded(where: str, encoded: bytes) -> Look:
    """Look at an encoded picture that was read from somewhere."""
    return _decode(*_read_encoded(where, encoded))


def _read_file(path: str) -> _Read:
    try:
        encoded = read_bytes(path)
    except OSError as error:
        return Look(path, 0, None, fault=f"cannot be read ({error.strerror})"), b""
    look = look_at_header(path, encoded)
    if look.fault or _ENDINGS.get(Path(path).suffix.lower()) == look.kind:
        return look, encoded
    return replace(look, oddities=("wrong ending", *look.oddities)), encoded


def _read_encoded(where: str, encoded: bytes) -> _Read:
    return look_at_header(where, encoded), encoded


def look_at_header(where: str, encoded: bytes) -> Look:
    """Read the header of an encoded picture without decoding its pixels."""
    kind = sniff(encoded[:_START_BYTES])
    digest = hashlib.blake2b(encoded, digest_size=16).hexdigest()
    look = Look(where, len(encoded), kind, digest=digest)
    if not encoded:
        return replace(look, fault="empty file")
    if kind is None:
        return replace(look, fault="not a picture")
    if kind not in FORMATS:
        return replace(look, fault=f"a {kind} file; convert it to JPEG or PNG")
    return _read_header(look, encoded)


def _read_header(look: Look, encoded: bytes) -> Look:
    """Add the facts of the header; an unreadable header is left to the decoder to judge."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large sizes, which are checked below.
            with Image.open(io.BytesIO(encoded)) as header:
                return _describe(look, header)
    except Image.DecompressionBombError:
        return replace(look, fault=_TOO_LARGE)
    except Exception:  # Pillow's plug-ins raise errors of any type for a broken header.
        return look


def _describe(look: Look, header: Image.Image) -> Look:
    width, height = header.size
    look = replace(look, height_px=height, width_px=width)
    if width * height > MOST_PIXELS:
        return replace(look, fault=_TOO_LARGE)
    is_animated = getattr(header, "is_animated", False)
    if look.kind == "WebP" and is_animated:
        return replace(look, fault="an animated WebP file; save one frame as JPEG or PNG")
    if look.kind == "BMP" and header.mode in ("P", "1"):
        return replace(look, fault="a BMP file with a palette; convert it to PNG")
    long, short = max(width, height), max(1, min(width, height))
    facts = {
        "animated": is_animated,
        "cmyk": header.mode == "CMYK",
        "16 bit": header.mode.startswith("I"),
        "grey": header.mode in ("1", "L", "LA") or header.mode.startswith("I"),
        "transparent": header.mode in ("RGBA", "LA", "PA") or "transparency" in header.info,
        "palette": header.mode == "P",
        "gigantic": width * height > _GIGANTIC_PIXELS,
        "tiny": short < _TINY_PX,
        "narrow": long / short > _NARROW_RATIO,
    }
    return replace(look, oddities=tuple(key for key, is_so in facts.items() if is_so))


def _decode_all(read: Sequence[_Read]) -> list[Look]:
    """Decode pictures in one call without Python; if one is broken, decode them one by one."""
    encoded = [picture for look, picture in read if not look.fault]
    try:
        pixels = _shrink_all(tf.constant(encoded, tf.string))
    except tf.errors.OpError:
        return [_decode(look, picture) for look, picture in read]
    decoded = zip(*(values.numpy() for values in pixels), strict=True)
    return [look if look.fault else _add_pixels(look, *next(decoded)) for look, _ in read]


def _decode(look: Look, encoded: bytes) -> Look:
    """Decode a picture at the smallest size, for which a JPEG's data are still read to the end."""
    if look.fault:
        return look
    try:
        pixels = _shrink(tf.constant(encoded))
    except tf.errors.OpError as error:
        return replace(
            look, fault=f"broken {look.kind} file ({_last_sentence(error.message)})", oddities=()
        )
    return _add_pixels(look, *(value.numpy() for value in pixels))


def _add_pixels(
    look: Look, shape: np.ndarray, orientation: np.ndarray, thumbnail: np.ndarray
) -> Look:
    if not look.height_px:
        height, width = map(int, shape)
        look = replace(look, height_px=height, width_px=width)
    facts = {
        "turned": orientation > 1,
        "dark": "16 bit" in look.oddities and int(thumbnail.max()) < _DARK_BELOW,
        "constant": float(thumbnail.std(axis=(0, 1)).max()) < _CONSTANT_BELOW,
    }
    found = (key for key, is_so in facts.items() if is_so)
    return replace(look, oddities=(*look.oddities, *found), thumbnail=thumbnail.tobytes())


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _shrink(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the size at which a picture was decoded, its orientation, and its thumbnail."""
    picture, orientation = decode_and_turn(encoded, least_px=3 * THUMBNAIL_PX)
    small = tf.image.resize(picture, (THUMBNAIL_PX, THUMBNAIL_PX), antialias=True)
    thumbnail = tf.cast(tf.round(tf.clip_by_value(small, 0.0, 255.0)), tf.uint8)
    return tf.shape(picture)[:2], orientation, thumbnail


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
def _shrink_all(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Shrink several pictures.

    Returns:
        ``[pictures, 2]`` int32, ``[pictures]`` int32, and ``[pictures, 16, 16, 3]`` uint8.
    """
    return tf.map_fn(
        _shrink,
        encoded,
        parallel_iterations=PARALLEL_CALLS,
        fn_output_signature=(
            tf.TensorSpec([2], tf.int32),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([THUMBNAIL_PX, THUMBNAIL_PX, 3], tf.uint8),
        ),
    )


def _last_sentence(message: str) -> str:
    """Return the reason in a TensorFlow error, without the names of kernels and source lines."""
    reason = message.rsplit("\n\n", 1)[-1].split("\n\t [[")[0]
    return " ".join(reason.rsplit("}} ", 1)[-1].split(" [Op:")[0].split())


def stack_thumbnails(looks: Sequence[Look]) -> np.ndarray:
    """Return the thumbnails of usable pictures, ``[pictures, 16, 16, 3]`` uint8."""
    joined = b"".join(look.thumbnail for look in looks)
    return np.frombuffer(joined, np.uint8).reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX, 3)


def find_copies_by_looks(looks: Sequence[Look], mirrored: bool) -> tuple[Copies, ...]:
    """Find the copies among the pictures that can be used.

    Args:
        mirrored: Whether mirror images are copies. They are not if left and right matter.
    """
    usable = [row for row, look in enumerate(looks) if not look.fault]
    seen = [looks[row] for row in usable]
    sizes = np.array([(look.height_px, look.width_px) for look in seen]).reshape(-1, 2)
    is_turned = np.array(["turned" in look.oddities for look in seen], bool)
    # Most that are turned at all are turned by a quarter; the thumbnail is compared all the same.
    sizes[is_turned] = np.sort(sizes[is_turned], axis=1)
    found = find_copies([look.digest for look in seen], stack_thumbnails(seen), sizes, mirrored)
    return tuple(
        Copies(tuple(usable[row] for row in group.rows), group.is_exact) for group in found
    )
