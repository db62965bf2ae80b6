"""Random changes to training pictures, in tf.data: the exported model never holds them."""

from __future__ import annotations

import tensorflow as tf

from tfxfer.config import AugmentationConfig
from tfxfer.data.decode import decode_picture, decode_random_crop, resize_picture


def decode_augmented(
    encoded: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig, size_px: int
) -> tf.Tensor:
    """Decode a random part of a picture, resize it, flip, rotate and recolour it at random.

    Args:
        encoded: scalar string, a picture.
        seed: ``[2]`` int64; the same seed gives the same picture.
        config: which changes, and how strong.
        size_px: side of the result in pixels.

    Returns:
        ``[size_px, size_px, 3]`` float32, 0…255.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 5), num=5)
    if config.crop_min_area < 1:
        picture = decode_random_crop(encoded, seeds[0], config.crop_min_area, size_px)
    else:
        picture = decode_picture(encoded, size_px)
    picture = resize_picture(picture, size_px)
    if config.flip:
        picture = tf.image.stateless_random_flip_left_right(picture, seeds[1])
    if config.rotate:
        turns = tf.random.stateless_uniform([], seeds[2], maxval=4, dtype=tf.int32)
        picture = tf.ensure_shape(tf.image.rot90(picture, turns), [size_px, size_px, 3])
    if config.colour > 0:
        picture = _recolour(picture, seeds[3], config.colour)
    return picture


def _recolour(picture: tf.Tensor, seed: tf.Tensor, strength: float) -> tf.Tensor:
    """Change brightness, contrast and saturation by up to ± `strength` each."""
    change = tf.random.stateless_uniform([3], seed, 1 - strength, 1 + strength)
    picture = picture * change[0]
    mean = tf.reduce_mean(picture)
    picture = mean + (picture - mean) * change[1]
    grey = tf.image.rgb_to_grayscale(picture)
    picture = grey + (picture - grey) * change[2]
    return tf.clip_by_value(picture, 0.0, 255.0)
