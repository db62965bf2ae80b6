"""The operations that RandAugment and TrivialAugment choose from, and how they choose.

A strength of 1 has this effect:

| operation | at strength 1 |
|---|---|
| identity | nothing |
| brightness, contrast, saturation | times ¼ or 1¾ (0: black, the mean, grey; 1: as it is) |
| sharpness | 0.9 of the way to the smoothed picture, or as far from it |
| posterize | 4 of the 8 bits of each channel are left |
| solarize | values of 128 and more are inverted |
| autocontrast, equalize | each channel's range, or histogram, is spread; strength has no effect |
| rotate | 30° either way; 45° where quarter turns are allowed: with them, any angle |
| shear x, shear y | by 0.3 of the distance from the middle |
| translate x, translate y | by 0.3 of the side |

Moved pictures are continued by their mirror image. If mirroring is not allowed, as for letters and
digits, their edge pixels are repeated instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import tensorflow as tf

from tfxfer.modalities.pictures.settings import AugmentationConfig

# From this value of `colour` on, operations on colours have their full strength.
_FULL_COLOUR = AugmentationConfig.model_fields["colour"].default
# The papers' 0.9 makes some pictures look wholly black or grey.
_LARGEST_TONE = 0.75
_QUARTER_TURN_DEGREES, _TILT_DEGREES = 45.0, 30.0

Change = Callable[[tf.Tensor, tf.Tensor, str], tf.Tensor]


@dataclass(frozen=True)
class Operation:
    """One operation, a row of the table.

    Attributes:
        change: A function of a picture ``[size, size, 3]`` float32 0…255, a scalar amount and the
            mode of filling the borders. It gives a picture whose values may lie outside 0…255.
        largest: The amount at strength 1.
        is_signed: Whether the amount may also be negative.
        colours: ``"scaled"`` if ``augmentation.colour`` limits the amount; ``"redrawn"`` if it
            cannot, so that the operation is left out below the default of ``colour``; None if the
            operation does not change colours.
    """

    change: Change
    largest: float = 0.0
    is_signed: bool = False
    colours: str | None = None


def change_at_random(picture: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """Change a picture by randomly chosen operations.

    RandAugment (Cubuk et al. 2020, section 3) applies two operations, which may be the same, at
    the strength ``config.magnitude``. TrivialAugment (Müller & Hutter 2021, algorithm 1) applies
    one at a random strength.

    Args:
        picture: ``[size, size, 3]`` float32, 0…255.
        seed: ``[2]`` int64, which decides everything.
        config: The settings, with the policy ``"randaugment"`` or ``"trivialaugment"``.

    Returns:
        ``[size, size, 3]`` float32, 0…255.
    """
    operations = list(choose_operations(config).values())
    fill = "REFLECT" if config.flip else "NEAREST"
    is_single = config.policy == "trivialaugment"
    draws = tf.random.stateless_uniform([1 if is_single else 2, 3], seed)
    for place in range(1 if is_single else 2):
        # A float32 just below 1, times the number of operations, may round up to that number.
        which = tf.minimum(
            tf.cast(draws[place, 0] * len(operations), tf.int32), len(operations) - 1
        )
        sign = tf.where(draws[place, 1] < 0.5, -1.0, 1.0)
        strength = draws[place, 2] if is_single else tf.constant(config.magnitude, tf.float32)
        # Only the chosen operation runs.
        picture = tf.switch_case(
            which, [partial(_apply, picture, row, strength, sign, fill) for row in operations]
        )
    return picture


def choose_operations(config: AugmentationConfig) -> dict[str, Operation]:
    """Return the operations that the settings allow, with the amounts that they allow."""
    share = min(1.0, config.colour / _FULL_COLOUR)
    chosen = {}
    for name, row in OPERATIONS.items():
        largest = row.largest
        if (row.colours == "redrawn" and share < 1) or (row.colours == "scaled" and share == 0):
            continue
        if row.colours == "scaled":
            largest *= share
        if name == "rotate" and config.rotate:
            largest = _QUARTER_TURN_DEGREES
        chosen[name] = Operation(row.change, largest, row.is_signed, row.colours)
    return chosen


def _apply(
    picture: tf.Tensor, row: Operation, strength: tf.Tensor, sign: tf.Tensor, fill: str
) -> tf.Tensor:
    amount = strength * row.largest * (sign if row.is_signed else 1.0)
    changed = row.change(picture, amount, fill)
    return tf.ensure_shape(tf.clip_by_value(changed, 0.0, 255.0), picture.shape)


def _identity(picture, amount, fill):
    return picture


def _brightness(picture, amount, fill):
    return picture * (1 + amount)


def _contrast(picture, amount, fill):
    mean = tf.reduce_mean(picture)
    return mean + (picture - mean) * (1 + amount)


def _saturation(picture, amount, fill):
    grey = tf.image.rgb_to_grayscale(picture)
    return grey + (picture - grey) * (1 + amount)


def _sharpness(picture, amount, fill):
    """Sharpen or smooth; as in Pillow, each neighbour counts once and the pixel five times."""
    mean = tf.nn.avg_pool2d(picture[tf.newaxis], 3, 1, "SAME")[0]  # Edges have fewer neighbours.
    smooth = (9 * mean + 4 * picture) / 13
    return smooth + (picture - smooth) * (1 + amount)


def _posterize(picture, amount, fill):
    step = 2 ** tf.round(amount)
    return tf.floor(tf.floor(picture) / step) * step


def _solarize(picture, amount, fill):
    return tf.where(picture < 256 - amount, picture, 255 - picture)


def _autocontrast(picture, amount, fill):
    low, high = (reduce(picture, axis=[0, 1]) for reduce in (tf.reduce_min, tf.reduce_max))
    scale = tf.where(high > low, 255 / tf.maximum(high - low, 1e-3), 1.0)
    return (picture - tf.where(high > low, low, 0.0)) * scale


def _equalize(picture, amount, fill):
    """Equalize each channel as Pillow does: a value becomes the share of values below it."""
    values = tf.cast(tf.round(picture), tf.int32) + tf.constant([0, 256, 512])
    counts = tf.reshape(tf.math.bincount(values, minlength=768, maxlength=768), [3, 256])
    highest = tf.reduce_max(values, axis=[0, 1])
    at_highest = tf.gather(tf.reshape(counts, [-1]), highest)[:, tf.newaxis]
    step = (tf.reduce_sum(counts, axis=1, keepdims=True) - at_highest) // 255
    spread = (step // 2 + tf.cumsum(counts, axis=1, exclusive=True)) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(spread, 255), tf.range(256))
    return tf.cast(tf.gather(tf.reshape(table, [-1]), values), tf.float32)


def _rotate(picture, amount, fill):
    radians = amount * (math.pi / 180)
    cosine, sine = tf.cos(radians), tf.sin(radians)
    return _move(picture, [[cosine, -sine, 0.0], [sine, cosine, 0.0]], fill)


def _shear_x(picture, amount, fill):
    return _move(picture, [[1.0, amount, 0.0], [0.0, 1.0, 0.0]], fill)


def _shear_y(picture, amount, fill):
    return _move(picture, [[1.0, 0.0, 0.0], [amount, 1.0, 0.0]], fill)


def _translate_x(picture, amount, fill):
    return _move(picture, [[1.0, 0.0, amount], [0.0, 1.0, 0.0]], fill)


def _translate_y(picture, amount, fill):
    return _move(picture, [[1.0, 0.0, 0.0], [0.0, 1.0, amount]], fill)


def _move(picture, rows, fill):
    """Fill each place with what stands where an affine map leads from it.

    Args:
        picture: ``[size, size, 3]`` float32.
        rows: The map about the middle of the picture; each row holds the factors of x and y, and
            a shift as a share of the side.
        fill: The mode of filling places outside the picture, ``"REFLECT"`` or ``"NEAREST"``.
    """
    side = float(picture.shape[0])
    middle = (side - 1) / 2
    flat: list = []
    for (along_x, along_y, shift), own in zip(rows, (middle, middle), strict=True):
        flat += [along_x, along_y, own - (along_x + along_y) * middle + shift * side]
    transform = tf.stack([tf.cast(value, tf.float32) for value in (*flat, 0.0, 0.0)])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=picture[tf.newaxis],
        transforms=transform[tf.newaxis],
        output_shape=picture.shape[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=fill,
    )[0]


OPERATIONS = {
    "identity": Operation(_identity),
    "brightness": Operation(_brightness, _LARGEST_TONE, is_signed=True, colours="scaled"),
    "contrast": Operation(_contrast, _LARGEST_TONE, is_signed=True, colours="scaled"),
    "saturation": Operation(_saturation, _LARGEST_TONE, is_signed=True, colours="scaled"),
    "sharpness": Operation(_sharpness, 0.9, is_signed=True),
    "posterize": Operation(_posterize, 4.0, colours="redrawn"),
    "solarize": Operation(_solarize, 128.0, colours="redrawn"),
    "autocontrast": Operation(_autocontrast, colours="redrawn"),
    "equalize": Operation(_equalize, colours="redrawn"),
    "rotate": Operation(_rotate, _TILT_DEGREES, is_signed=True),
    "shear_x": Operation(_shear_x, 0.3, is_signed=True),
    "shear_y": Operation(_shear_y, 0.3, is_signed=True),
    "translate_x": Operation(_translate_x, 0.3, is_signed=True),
    "translate_y": Operation(_translate_y, 0.3, is_signed=True),
}
