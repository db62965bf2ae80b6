"""Tests that a picture whose header announces too many pixels is never decoded."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfxfer.modalities.pictures.decode import decode_picture, decode_random_crop
from tfxfer.modalities.pictures.headers import MOST_PIXELS, count_pixels
from tfxfer.modalities.pictures.look import look_at_encoded
from tfxfer.modalities.pictures.view import plain_view

WIDTH, HEIGHT = 80, 60
# Squares with these sides lie just below and just above the limit.
FITTING, TOO_LARGE = 13_377, 13_378


def announce_png(encoded: bytes, width: int, height: int) -> bytes:
    header = encoded[12:16] + struct.pack(">II", width, height) + encoded[24:29]
    return encoded[:12] + header + struct.pack(">I", zlib.crc32(header)) + encoded[33:]


def announce_jpeg(encoded: bytes, width: int, height: int) -> bytes:
    place = encoded.index(b"\xff\xc0") + 5
    return encoded[:place] + struct.pack(">HH", height, width) + encoded[place + 4 :]


def announce_bmp(encoded: bytes, width: int, height: int) -> bytes:
    return encoded[:18] + struct.pack("<ii", width, height) + encoded[26:]


def announce_upside_down(encoded: bytes, width: int, height: int) -> bytes:
    return announce_bmp(encoded, width, -height)


def announce_webp(encoded: bytes, width: int, height: int) -> bytes:
    if encoded[12:16] == b"VP8 ":
        return encoded[:26] + struct.pack("<HH", width, height) + encoded[30:]
    if encoded[12:16] == b"VP8L":
        (bits,) = struct.unpack("<I", encoded[21:25])
        bits = bits >> 28 << 28 | (height - 1) << 14 | (width - 1)
        return encoded[:21] + struct.pack("<I", bits) + encoded[25:]
    sides = [struct.pack("<I", side - 1)[:3] for side in (width, height)]
    return encoded[:24] + b"".join(sides) + encoded[30:]


KINDS = {
    "PNG": ("PNG", "RGB", {}, announce_png),
    "JPEG": ("JPEG", "RGB", {}, announce_jpeg),
    "BMP": ("BMP", "RGB", {}, announce_bmp),
    "BMP from the top": ("BMP", "RGB", {}, announce_upside_down),
    "WebP, lossy": ("WEBP", "RGB", {}, announce_webp),
    "WebP, lossless": ("WEBP", "RGB", {"lossless": True}, announce_webp),
    "WebP, extended": ("WEBP", "RGBA", {}, announce_webp),
}


def make(kind: str, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Return a small picture whose header announces another size."""
    format_, mode, options, announce = KINDS[kind]
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, len(mode)))
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8), mode).save(buffer, format_, **options)
    return announce(buffer.getvalue(), width, height)


def test_the_squares_lie_on_both_sides_of_the_limit():
    assert FITTING**2 <= MOST_PIXELS < TOO_LARGE**2


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "JPEG"])
def test_a_header_says_how_many_pixels_there_are(kind):
    for width, height in ((WIDTH, HEIGHT), (FITTING, FITTING), (TOO_LARGE, TOO_LARGE), (1, 9)):
        assert int(count_pixels(tf.constant(make(kind, width, height)))) == width * height


@pytest.mark.parametrize("encoded", [b"", b"BM", b"\x89PNG", b"no picture at all"])
def test_what_has_no_header_announces_nothing(encoded):
    assert int(count_pixels(tf.constant(encoded))) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_audit_training_and_serving_have_the_same_limit(kind):
    """The export's `serve_bytes` calls `plain_view`."""
    small, bomb = tf.constant(make(kind)), tf.constant(make(kind, TOO_LARGE, TOO_LARGE))
    ways = (
        decode_picture,
        plain_view(32),
        lambda encoded: decode_random_crop(encoded, [0, 1], 0.5, 32),
    )
    for decode in ways:
        assert decode(small).shape[-1] == 3
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"at most {MOST_PIXELS:,} pixels"):
            decode(bomb)
    assert look_at_encoded("", small.numpy()).fault is None
    assert f"of more than {MOST_PIXELS:,} pixels" in str(look_at_encoded("", bomb.numpy()).fault)


def test_what_moves_is_refused_by_name():
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green")]
    for kind in ("GIF", "WEBP"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        with pytest.raises(tf.errors.InvalidArgumentError, match="a GIF or an animated WebP"):
            plain_view(32)(tf.constant(buffer.getvalue()))
