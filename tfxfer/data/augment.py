"""Random changes to training pictures, in tf.data: the exported model never holds them."""

from __future__ import annotations

import tensorflow as tf

from tfxfer.config import AugmentationConfig
from tfxfer.data.decode import resize_picture

# Sides' ratio of a random crop, as in Inception's training (Szegedy et al. 2015).
_ASPECT_RATIOS = (3 / 4, 4 / 3)


def augment_picture(
    picture: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig, size_px: int
) -> tf.Tensor:
    """Crop, resize, flip, rotate and recolour a picture at random.

    Args:
        picture: ``[height, width, 3]`` uint8.
        seed: ``[2]`` int64; the same seed gives the same picture.
        config: which changes, and how strong.
        size_px: side of the result in pixels.

    Returns:
        ``[size_px, size_px, 3]`` float32, 0…255.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 5), num=5)
    if config.crop_min_area < 1:
        picture = _crop(picture, seeds[0], config.crop_min_area)
    picture = resize_picture(picture, size_px)
    if config.flip:
        picture = tf.image.stateless_random_flip_left_right(picture, seeds[1])
    if config.rotate:
        turns = tf.random.stateless_uniform([], seeds[2], maxval=4, dtype=tf.int32)
        picture = tf.ensure_shape(tf.image.rot90(picture, turns), [size_px, size_px, 3])
    if config.colour > 0:
        picture = _recolour(picture, seeds[3], config.colour)
    return picture


def _crop(picture: tf.Tensor, seed: tf.Tensor, min_area: float) -> tf.Tensor:
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(picture),
        bounding_boxes=tf.zeros([1, 0, 4]),
        seed=seed,
        aspect_ratio_range=_ASPECT_RATIOS,
        area_range=(min_area, 1.0),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    cropped = tf.slice(picture, begin, size)
    cropped.set_shape([None, None, 3])
    return cropped


def _recolour(picture: tf.Tensor, seed: tf.Tensor, strength: float) -> tf.Tensor:
    """Change brightness, contrast and saturation by up to ± `strength` each."""
    change = tf.random.stateless_uniform([3], seed, 1 - strength, 1 + strength)
    picture = picture * change[0]
    mean = tf.reduce_mean(picture)
    picture = mean + (picture - mean) * change[1]
    grey = tf.image.rgb_to_grayscale(picture)
    picture = grey + (picture - grey) * change[2]
    return tf.clip_by_value(picture, 0.0, 255.0)
