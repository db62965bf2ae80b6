"""One view of an encoded picture: as it is, or changed by chance."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import tensorflow as tf

from tfxfer.modalities.pictures.augment import decode_augmented
from tfxfer.modalities.pictures.decode import decode_picture, resize_picture
from tfxfer.modalities.pictures.settings import AugmentationConfig


@lru_cache(maxsize=32)
def plain_view(size_px: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from an encoded picture to ``[size, size, 3]`` float32, traced once."""

    # Nothing in it is for AutoGraph, which would take longer than the tracing.
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def view(encoded: tf.Tensor) -> tf.Tensor:
        return resize_picture(decode_picture(encoded, size_px), size_px)

    return view


@lru_cache(maxsize=32)
def augmented_view(
    size_px: int, augmentation: AugmentationConfig
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The same with random changes: from an encoded picture and a seed ``[2]`` int64."""

    @tf.function(
        input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([2], tf.int64)],
        autograph=False,
    )
    def view(encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return decode_augmented(encoded, seed, augmentation, size_px)

    return view
