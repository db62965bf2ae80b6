"""Random changes to training pictures, in tf.data; the exported model does not contain them."""

from __future__ import annotations

import tensorflow as tf

from tfxfer.modalities.pictures.decode import decode_picture, decode_random_crop, resize_picture
from tfxfer.modalities.pictures.policies import change_at_random
from tfxfer.modalities.pictures.settings import AugmentationConfig

# The crops of the policy "light" keep at least this share of a picture.
_LIGHT_MIN_AREA = 0.8
# The erased share of a picture, and the smallest ratio of the sides, are those of Zhong et al.
# 2020, "Random erasing data augmentation", section 5.
_ERASED_AREA, _ERASED_RATIO = (0.02, 0.4), 0.3


def decode_augmented(
    encoded: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig, size_px: int
) -> tf.Tensor:
    """Decode a picture and change it at random, as a policy says.

    ==============  =====================================================================
    none            as it is, whatever the other values say
    light           a random part of at least 80 %, flip and turns
    standard        a random part, flip and turns; brightness, contrast and saturation
    randaugment     a random part, flip and turns; two operations of `policies.py`
    trivialaugment  a random part, flip and turns; one operation
    ==============  =====================================================================

    ``crop_min_area``, ``flip`` and ``rotate`` limit the part, the flip and the turns. At the end,
    all policies except "none" erase a rectangle with the probability ``erasing``.

    Args:
        encoded: Scalar string, an encoded picture.
        seed: ``[2]`` int64; the same seed gives the same picture.
        config: The kinds of changes and their strengths.
        size_px: The side of the result in pixels.

    Returns:
        ``[size_px, size_px, 3]`` float32, 0…255.
    """
    if config.policy == "none":
        return resize_picture(decode_picture(encoded, size_px), size_px)
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 5), num=5)
    least_area = config.crop_min_area
    if config.policy == "light":
        least_area = max(least_area, _LIGHT_MIN_AREA)
    if least_area < 1:
        picture = decode_random_crop(encoded, seeds[0], least_area, size_px)
    else:
        picture = decode_picture(encoded, size_px)
    picture = resize_picture(picture, size_px)
    if config.flip:
        picture = tf.image.stateless_random_flip_left_right(picture, seeds[1])
    if config.rotate:
        turns = tf.random.stateless_uniform([], seeds[2], maxval=4, dtype=tf.int32)
        picture = tf.ensure_shape(tf.image.rot90(picture, turns), [size_px, size_px, 3])
    if config.policy == "standard" and config.colour > 0:
        picture = _recolour(picture, seeds[3], config.colour)
    elif config.policy in ("randaugment", "trivialaugment"):
        picture = change_at_random(picture, seeds[3], config)
    if config.erasing > 0:
        picture = _erase(picture, seeds[4], config.erasing)
    return picture


def _recolour(picture: tf.Tensor, seed: tf.Tensor, strength: float) -> tf.Tensor:
    """Change brightness, contrast and saturation, each by up to ± `strength`."""
    change = tf.random.stateless_uniform([3], seed, 1 - strength, 1 + strength)
    picture = picture * change[0]
    mean = tf.reduce_mean(picture)
    picture = mean + (picture - mean) * change[1]
    grey = tf.image.rgb_to_grayscale(picture)
    picture = grey + (picture - grey) * change[2]
    return tf.clip_by_value(picture, 0.0, 255.0)


def _erase(picture: tf.Tensor, seed: tf.Tensor, probability: float) -> tf.Tensor:
    """Put noise in place of a random rectangle, with some probability (Zhong et al. 2020)."""
    draws = tf.random.stateless_uniform([5], seed)
    size_px = picture.shape[0]

    def erase() -> tf.Tensor:
        area = _ERASED_AREA[0] + draws[1] * (_ERASED_AREA[1] - _ERASED_AREA[0])
        ratio = _ERASED_RATIO + draws[2] * (1 / _ERASED_RATIO - _ERASED_RATIO)
        shares = tf.minimum(tf.sqrt(area * tf.stack([ratio, 1 / ratio])), 1.0)
        sides = tf.maximum(tf.cast(shares * size_px, tf.int32), 1)
        starts = tf.cast(draws[3:] * tf.cast(size_px - sides + 1, tf.float32), tf.int32)
        ends = starts + sides
        places = tf.range(size_px)
        rows, columns = ((places >= starts[a]) & (places < ends[a]) for a in range(2))
        is_erased = (rows[:, tf.newaxis] & columns[tf.newaxis])[..., tf.newaxis]
        return tf.where(is_erased, _noise(seed, size_px), picture)

    return tf.cond(draws[0] < probability, erase, lambda: picture)


def _noise(seed: tf.Tensor, size_px: int) -> tf.Tensor:
    """Return noise: ``[size, size, 3]`` float32 of integers 0…255, four from each drawn number."""
    count = 3 * size_px * size_px
    drawn = tf.random.stateless_uniform([-(-count // 4)], seed, None, None, tf.int32)
    values = tf.reshape(tf.bitcast(drawn, tf.uint8), [-1])[:count]
    return tf.cast(tf.reshape(values, [size_px, size_px, 3]), tf.float32)
