"""One view of an encoded picture: the plain one, or one that is changed at random."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import tensorflow as tf

from tfxfer.modalities.pictures.augment import decode_augmented
from tfxfer.modalities.pictures.decode import decode_picture, resize_picture
from tfxfer.modalities.pictures.settings import AugmentationConfig


@lru_cache(maxsize=32)
def plain_view(size_px: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function from an encoded picture to ``[size, size, 3]`` float32, traced once."""

    # AutoGraph has nothing to convert here, and would take longer than the tracing itself.
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def view(encoded: tf.Tensor) -> tf.Tensor:
        return resize_picture(decode_picture(encoded, size_px), size_px)

    return view


@lru_cache(maxsize=32)
def augmented_view(
    size_px: int, augmentation: AugmentationConfig
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return a function from an encoded picture and a seed ``[2]`` int64 to a changed picture.

    The picture is ``[size, size, 3]`` float32, 0…255, and depends on nothing but the arguments.
    """

    @tf.function(
        input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([2], tf.int64)],
        autograph=False,
    )
    def view(encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return decode_augmented(encoded, seed, augmentation, size_px)

    return view
