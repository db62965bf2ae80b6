"""Tests that photographs are turned as their EXIF data say, in the same way as by Pillow."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tfxfer.modalities.pictures.decode import decode_picture
from tfxfer.modalities.pictures.exif import read_orientation
from tfxfer.modalities.pictures.look import look_at_encoded

pytestmark = pytest.mark.slow


encoded_spec = [tf.TensorSpec([], tf.string)]
decode = tf.function(decode_picture, input_signature=encoded_spec, autograph=False)
find_orientation = tf.function(read_orientation, input_signature=encoded_spec, autograph=False)


def read(encoded: bytes) -> int:
    return int(find_orientation(tf.constant(encoded)))


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
    assert read(encoded) == orientation
    assert_decoded_as_by_pillow(encoded)


@pytest.mark.parametrize("value", [0, 9, 65535, None])
def test_no_valid_orientation_changes_nothing(value):
    assert read(photograph(value)) == 1


def test_broken_exif_data_change_nothing():
    whole = photograph(6, more=True)
    start = whole.index(b"Exif\x00\x00")
    for position in range(start, start + 40):
        broken = bytearray(whole)
        broken[position] = 0xFF
        assert 1 <= read(bytes(broken)) <= 8
        assert decode_picture(tf.constant(bytes(broken))).shape[-1] == 3
    for length in (0, 3, 20, 40, start + 6, start + 10, start + 20):
        assert read(whole[:length]) == 1


def tiff(orientation: int, type_number: int = 3, endian: str = "<") -> bytes:
    """Return EXIF data whose only entry is the orientation, as BYTE, SHORT or LONG."""
    value = struct.pack(f"{endian}{'?BsHI'[type_number]}", orientation).ljust(4, b"\0")
    start = b"II*\0" if endian == "<" else b"MM\0*"
    entry = struct.pack(f"{endian}HHI", 0x0112, type_number, 1) + value
    return start + struct.pack(f"{endian}IH", 8, 1) + entry + bytes(4)


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


EXIF_SEGMENT = segment(0xE1, b"Exif\0\0" + tiff(6))
BEFORE = {
    "xmp": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<x:xmpmeta/>" * 800),
    "comment": segment(0xFE, b"taken by hand"),
    "profile": segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(60_000)) * 3,
    "photoshop": segment(0xED, b"Photoshop 3.0\x008BIM" + bytes(3000)),
    "fill bytes": b"\xff" * 5,
    "empty data": segment(0xE1, b"Exif\0\0"),
    "name": segment(0xFE, b"Exif\0\0 is the name of the data below"),
    "another picture": segment(0xE5, b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + tiff(3))),
}


def add_segment(more: bytes) -> bytes:
    """Return the photograph, which has no orientation, with segments before its own."""
    plain = photograph(None)
    return plain[:2] + more + plain[2:]


def turned(encoded: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(encoded)) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB")).astype(int)


def assert_decoded_as_by_pillow(encoded: bytes) -> None:
    decoded = decode(tf.constant(encoded)).numpy()
    assert decoded.shape == turned(encoded).shape
    # TensorFlow's and Pillow's decoders differ by a few levels; neighbours differ by up to 15.
    assert np.abs(decoded - turned(encoded)).max() <= 8


@pytest.mark.parametrize("before", BEFORE)
def test_the_data_may_stand_behind_other_segments(before):
    encoded = add_segment(BEFORE[before] + EXIF_SEGMENT)
    assert read(encoded) == 6
    assert_decoded_as_by_pillow(encoded)


def test_a_file_of_many_parts_takes_no_longer_than_others():
    many = b"\xff" * 20_000
    assert read(add_segment(many + EXIF_SEGMENT)) == 1
    assert read(add_segment(many[:4000] + EXIF_SEGMENT)) == 6


def test_all_segments_together_are_passed():
    assert read(add_segment(b"".join(BEFORE.values()) + EXIF_SEGMENT)) == 6


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("type_number", [1, 3, 4])
def test_the_orientation_may_be_a_number_of_any_size(type_number, endian):
    data = tiff(8, type_number, endian)
    assert read(add_segment(segment(0xE1, b"Exif\0\0" + data))) == 8
    assert read(add_chunk("PNG", b"eXIf", data)) == 8


def test_what_only_looks_like_the_data_is_passed_over():
    plain = photograph(None)
    assert read(plain + EXIF_SEGMENT) == 1, "behind the picture"
    end = plain.index(b"\xff\xda")
    assert read(plain[:end] + plain[end : end + 20] + EXIF_SEGMENT + plain[end + 20 :]) == 1
    assert read(add_segment(BEFORE["another picture"])) == 1
    assert read(add_segment(segment(0xFE, EXIF_SEGMENT))) == 1
    assert read(plain[:2] + segment(0xE1, b"Exif\0\0") + plain[2:]) == 1, "empty"
    assert read(b"BM" + EXIF_SEGMENT) == read(EXIF_SEGMENT) == read(b"Exif\0") == read(b"") == 1
    # A segment that says to be longer than the file hides what stands in it.
    assert read(b"\xff\xd8\xff\xe0\xff\xff" + EXIF_SEGMENT) == 1


def test_other_formats_have_none():
    for kind in ("PNG", "BMP", "GIF", "WEBP"):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 4)).save(buffer, kind)
        assert read(buffer.getvalue() + b"Exif\x00\x00" + tiff(6)) == 1
        assert read(buffer.getvalue() + EXIF_SEGMENT) == 1


def add_chunk(kind: str, name: bytes, data: bytes, last: bool = False) -> bytes:
    """Return a picture of 24 x 16 px with one more chunk, before its pixels or behind them."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(photograph(None))) as picture:
        picture.save(buffer, kind, lossless=True, exif=b"", icc_profile=bytes(9))
    plain = buffer.getvalue()
    if kind == "PNG":
        chunk = struct.pack(">I", len(data)) + name + data
        chunk += struct.pack(">I", zlib.crc32(name + data))
        place = plain.index(b"IEND") - 4 if last else plain.index(b"IDAT") - 4
        return plain[:place] + chunk + plain[place:]
    chunk = name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    place = len(plain) if last else plain.index(b"VP8L")
    whole = plain[:place] + chunk + plain[place:]
    flags = whole[20] | 8  # says that there are EXIF data
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:20] + bytes([flags]) + whole[21:]


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("kind", "name"), [("PNG", b"eXIf"), ("WEBP", b"EXIF")])
def test_png_and_webp_files_are_turned_too(kind, name, last, prefix):
    for orientation in (3, 6):
        encoded = add_chunk(kind, name, prefix + tiff(orientation, endian=">"), last)
        assert read(encoded) == orientation
        assert_decoded_as_by_pillow(encoded)


def test_chunks_that_only_look_like_the_data_are_passed_over():
    assert read(add_chunk("PNG", b"tEXt", b"eXIf" + tiff(6))) == 1
    assert read(add_chunk("WEBP", b"XMP ", b"EXIF" + tiff(6))) == 1
    huge = b"\x89PNG\r\n\x1a\n" + b"\xff\xff\xff\xffeXIf"
    assert read(huge + tiff(6)) == 6, "the data go to the end of a file that is cut off"
    assert read(b"\x89PNG\r\n\x1a\n" + b"\xff\xff\xff\xfftEXt" + b"eXIf" + tiff(6)) == 1


@pytest.mark.parametrize(
    "whole",
    [add_segment(BEFORE["comment"] + EXIF_SEGMENT), add_chunk("PNG", b"eXIf", tiff(6)),
     add_chunk("WEBP", b"EXIF", tiff(6))],
    ids=["jpeg", "png", "webp"],
)  # fmt: skip
def test_files_that_end_early_or_are_damaged_have_an_orientation_all_the_same(whole):
    place = whole.index(b"*\0") - 20
    for length in range(0, place + 50, 3):
        assert read(whole[:length]) in (1, 6)
    for position in range(place, place + 50):
        assert 1 <= read(whole[:position] + b"\xff" + whole[position + 1 :]) <= 8


def test_the_audit_names_what_is_turned():
    for encoded in (
        photograph(6), add_segment(BEFORE["xmp"] + EXIF_SEGMENT), add_chunk("PNG", b"eXIf", tiff(6))
    ):  # fmt: skip
        assert "turned" in look_at_encoded("", encoded).oddities
    for encoded in (
        photograph(1),
        photograph(None),
        photograph(9),
        photograph(None) + EXIF_SEGMENT,
    ):
        assert "turned" not in look_at_encoded("", encoded).oddities
