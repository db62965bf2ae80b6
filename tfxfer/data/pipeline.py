"""From encoded pictures to batches for the model."""

from __future__ import annotations

import tensorflow as tf

from tfxfer.config import AugmentationConfig
from tfxfer.data.augment import augment_picture
from tfxfer.data.decode import decode_picture, resize_picture
from tfxfer.data.pictures import PictureSet


def make_training_dataset(
    pictures: PictureSet,
    class_count: int,
    size_px: int,
    batch_size: int,
    augmentation: AugmentationConfig,
    seed: int,
) -> tf.data.Dataset:
    """Give shuffled, augmented batches; every epoch another order and other changes.

    The last, smaller batch is left out (it is another one in every epoch) unless it is the only
    one. The same seed gives the same epochs.

    Returns:
        Batches of ``(pictures [batch, size, size, 3] float32 0…255,
        one-hot labels [batch, classes] float32)``.
    """
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)

    def prepare(example, picture_seed):
        encoded, label = example
        picture = augment_picture(decode_picture(encoded), picture_seed, augmentation, size_px)
        return picture, tf.one_hot(label, class_count)

    return (
        tf.data.Dataset.zip(pictures.encoded(shuffle_seed=seed), seeds)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size, drop_remainder=len(pictures.labels) >= batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def make_evaluation_dataset(
    pictures: PictureSet, class_count: int, size_px: int, batch_size: int
) -> tf.data.Dataset:
    """Give every picture once, as it is, in the order of ``pictures.labels``.

    Returns:
        Batches as of `make_training_dataset`; the last one may be smaller.
    """

    def prepare(encoded, label):
        picture = resize_picture(decode_picture(encoded), size_px)
        return picture, tf.one_hot(label, class_count)

    return (
        pictures.encoded()
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )
