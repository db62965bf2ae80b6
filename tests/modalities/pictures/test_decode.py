"""Tests that JPEGs are decoded at the smallest size that is needed, and only inside a crop."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tfxfer.modalities.pictures.augment import decode_augmented
from tfxfer.modalities.pictures.decode import decode_picture, decode_random_crop, resize_picture
from tfxfer.modalities.pictures.settings import AugmentationConfig


def draw_waves(width: int, height: int) -> np.ndarray:
    """Return a smooth picture whose four sides differ."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    waves = [np.sin(5 * x + 2 * y), np.cos(7 * x * y), np.sin(3 * y) * x]
    return (127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def encode(pixels: np.ndarray, kind: str, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    options = {"quality": 95, "subsampling": 0, "exif": exif} if kind == "JPEG" else {}
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("width", "height", "least_px", "expected"),
    [
        (400, 300, 300, (300, 400)),
        (400, 300, 151, (300, 400)),
        (400, 300, 150, (150, 200)),
        (400, 300, 75, (75, 100)),
        (401, 303, 37, (38, 51)),
        (400, 300, 1, (38, 50)),
        (40, 30, 224, (30, 40)),
    ],
)
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_is_enough(width, height, least_px, expected):
    encoded = encode(draw_waves(width, height), "JPEG")
    decoded = decode_picture(tf.constant(encoded), least_px)
    assert tuple(decoded.shape[:2]) == expected
    assert min(decoded.shape[:2]) >= min(least_px, height)


@pytest.mark.parametrize("least_px", [32, 64, 96])
def test_a_picture_decoded_small_looks_the_same_after_resizing(least_px):
    encoded = tf.constant(encode(draw_waves(640, 480), "JPEG"))
    whole = resize_picture(decode_picture(encoded), least_px)
    small = resize_picture(decode_picture(encoded, least_px), least_px)
    assert decode_picture(encoded, least_px).shape[0] < 480
    assert np.abs(small - whole).mean() < 1.5
    assert np.abs(whole - whole[::-1]).mean() > 20, "pictures that differ are told apart"


@pytest.mark.parametrize(
    "shape", [(90, 70), (400, 533), (1, 1), (1, 50), (50, 1), (7, 5), (32, 32), (33, 200)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_resizing_gives_what_tensorflow_does_bit_for_bit(shape, dtype):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(dtype)
    expected = tf.clip_by_value(tf.image.resize(picture, (32, 32), antialias=True), 0.0, 255.0)
    np.testing.assert_array_equal(resize_picture(tf.constant(picture), 32), expected)


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_other_formats_are_decoded_as_they_are(kind):
    pixels = draw_waves(80, 60)
    decoded = decode_picture(tf.constant(encode(pixels, kind)), 8)
    np.testing.assert_array_equal(decoded, pixels)


def test_a_crop_of_a_jpeg_equals_the_crop_of_the_decoded_picture():
    jpeg = encode(draw_waves(90, 70), "JPEG")
    png = encode(decode_picture(tf.constant(jpeg)).numpy(), "PNG")
    sizes = set()
    for number in range(12):
        crops = [
            decode_random_crop(tf.constant(encoded), [3, number], 0.3, least_px=64).numpy()
            for encoded in (jpeg, png)
        ]
        np.testing.assert_array_equal(*crops)
        height, width, _ = crops[0].shape
        assert 0.25 <= height * width / (90 * 70) <= 1
        sizes.add((height, width))
    assert len(sizes) > 6, "every seed has a crop of its own"


def test_a_crop_decoded_small_shows_the_same_part():
    jpeg = tf.constant(encode(draw_waves(800, 600), "JPEG"))
    same, other = [], []
    for number in range(12):
        large = decode_random_crop(jpeg, [1, number], 0.3, least_px=600)
        small = decode_random_crop(jpeg, [1, number], 0.3, least_px=64)
        assert 64 <= min(small.shape[:2]) < 128
        small, large = resize_picture(small, 48), resize_picture(large, 48)
        # The window's corner is rounded to a pixel of the smaller picture.
        same.append(np.abs(small - large).mean())
        elsewhere = resize_picture(decode_random_crop(jpeg, [2, number], 0.3, least_px=64), 48)
        other.append(np.abs(elsewhere - large).mean())
    assert max(same) < 5
    assert np.mean(other) > 4 * np.mean(same)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_at_every_scale_and_in_crops(orientation):
    encoded = encode(draw_waves(320, 240), "JPEG", orientation)
    with Image.open(io.BytesIO(encoded)) as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture)).astype(np.float32)
    small = decode_picture(tf.constant(encoded), 60)
    assert sorted(small.shape[:2]) == [60, 80]
    assert (small.shape[0] > small.shape[1]) == (upright.shape[0] > upright.shape[1])
    expected = resize_picture(upright, 32)
    assert np.abs(resize_picture(small, 32) - expected).mean() < 2
    whole = decode_random_crop(tf.constant(encoded), [0, 0], 0.999, 60)
    assert np.abs(resize_picture(whole, 32) - expected).mean() < 5


def test_a_broken_jpeg_is_an_error_at_every_scale():
    encoded = encode(draw_waves(320, 240), "JPEG")
    for least_px in (None, 10):
        with pytest.raises(tf.errors.OpError):
            decode_picture(tf.constant(encoded[: len(encoded) // 2]), least_px)


def test_augmentation_decodes_what_it_shows():
    """Without crops, recolouring and flips, a view is the whole picture as in evaluation."""
    encoded = tf.constant(encode(draw_waves(200, 160), "JPEG"))
    config = AugmentationConfig(crop_min_area=1, flip=False, colour=0)
    view = decode_augmented(encoded, [0, 1], config, 32)
    np.testing.assert_array_equal(view, resize_picture(decode_picture(encoded, 32), 32))
