"""Tests that photographs are turned as their EXIF data say, in the same way as by Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tfxfer.modalities.pictures.decode import decode_picture
from tfxfer.modalities.pictures.exif import read_orientation

pytestmark = pytest.mark.slow


def photograph(orientation: int | None, endian: str = "<", more: bool = False) -> bytes:
    """Return a smooth JPEG picture of 24 x 16 px whose four sides differ."""
    x, y = np.meshgrid(np.arange(24), np.arange(16))
    pixels = np.stack([10 * x, 15 * y, 5 * (x + y)], axis=-1).clip(0, 255).astype(np.uint8)
    exif = Image.Exif()
    exif.endian = endian
    if more:
        exif[0x010E] = "a description before the orientation" * 4
        exif[0x0132] = "2026:01:01 00:00:00"
    if orientation is not None:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=100, subsampling=0, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("more", [False, True])
def test_every_orientation_is_applied(orientation, endian, more):
    encoded = photograph(orientation, endian, more)
    assert int(read_orientation(tf.constant(encoded))) == orientation
    with Image.open(io.BytesIO(encoded)) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture)).astype(int)
    decoded = tf.function(decode_picture)(tf.constant(encoded)).numpy()
    assert decoded.shape == expected.shape
    # TensorFlow's and Pillow's decoders differ by a few levels; neighbours differ by up to 15.
    assert np.abs(decoded - expected).max() <= 8


@pytest.mark.parametrize("value", [0, 9, 65535, None])
def test_no_valid_orientation_changes_nothing(value):
    assert int(read_orientation(tf.constant(photograph(value)))) == 1


def test_broken_exif_data_change_nothing():
    whole = photograph(6, more=True)
    start = whole.index(b"Exif\x00\x00")
    for position in range(start, start + 40):
        broken = bytearray(whole)
        broken[position] = 0xFF
        assert 1 <= int(read_orientation(tf.constant(bytes(broken)))) <= 8
        assert decode_picture(tf.constant(bytes(broken))).shape[-1] == 3
    for length in (0, 3, 20, 40, start + 6, start + 10, start + 20):
        assert int(read_orientation(tf.constant(whole[:length]))) == 1


def test_other_formats_have_none():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 4)).save(buffer, "PNG")
    assert int(read_orientation(tf.constant(buffer.getvalue() + b"Exif\x00\x00II*\x00"))) == 1
