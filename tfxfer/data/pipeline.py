"""From encoded pictures to batches for the model."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxfer.data.items import PARALLEL_CALLS, ItemSet, untuned
from tfxfer.data.sampling import encode_evenly
from tfxfer.modalities.pictures.settings import AugmentationConfig
from tfxfer.modalities.pictures.view import augmented_view, plain_view
from tfxfer.tasks.labels import to_targets

# Batches that are ready before they are asked for.
_PREFETCHED = 2


def make_training_dataset(
    pictures: ItemSet,
    class_count: int,
    size_px: int,
    batch_size: int,
    augmentation: AugmentationConfig,
    seed: int,
    draws_evenly: bool = False,
) -> tf.data.Dataset:
    """Give shuffled, augmented batches; every epoch another order and other changes.

    The last, smaller batch is left out (it is another one in every epoch) unless it is the only
    one. The same seed gives the same epochs.

    Args:
        draws_evenly: each picture is of a class drawn by chance, each as likely as any other; an
            epoch has as many pictures as without.

    Returns:
        Batches of ``(pictures [batch, size, size, 3] float32 0…255,
        targets [batch, classes] float32)``.
    """
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)

    make_view = augmented_view(size_px, augmentation)
    encoded_pictures = (
        encode_evenly(pictures, seed) if draws_evenly else pictures.encoded(shuffle_seed=seed)
    )

    def prepare(example, picture_seed):
        encoded, label = example
        return make_view(encoded, picture_seed), to_targets(label, class_count)

    return untuned(
        tf.data.Dataset.zip(encoded_pictures, seeds)
        .map(prepare, num_parallel_calls=PARALLEL_CALLS)
        .batch(batch_size, drop_remainder=len(pictures.labels) >= batch_size)
        .prefetch(_PREFETCHED)
    )


def make_evaluation_dataset(
    pictures: ItemSet, class_count: int, size_px: int, batch_size: int
) -> tf.data.Dataset:
    """Give every picture once, as it is, in the order of ``pictures.labels``.

    Returns:
        Batches as of `make_training_dataset`; the last one may be smaller.
    """

    make_view = plain_view(size_px)

    def prepare(encoded, label):
        return make_view(encoded), to_targets(label, class_count)

    return untuned(
        pictures.encoded()
        .map(prepare, num_parallel_calls=PARALLEL_CALLS)
        .batch(batch_size)
        .prefetch(_PREFETCHED)
    )


def make_view_batches(
    pictures: ItemSet,
    size_px: int,
    batch_size: int,
    augmentation: AugmentationConfig | None = None,
    seeds: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Give one view of every picture, in the order of ``pictures.labels``.

    Args:
        augmentation: changes of this view; None gives the pictures as they are.
        seeds: ``[pictures, 2]`` int64, what changes each picture gets.

    Returns:
        Batches ``[batch, size, size, 3]`` float32, 0…255; the last one may be smaller.
    """
    encoded = pictures.encoded().map(lambda encoded, _: encoded)
    if augmentation is None or seeds is None:
        views = encoded.map(plain_view(size_px), num_parallel_calls=PARALLEL_CALLS)
    else:
        views = tf.data.Dataset.zip(encoded, tf.data.Dataset.from_tensor_slices(seeds)).map(
            augmented_view(size_px, augmentation), num_parallel_calls=PARALLEL_CALLS
        )
    return untuned(views.batch(batch_size).prefetch(_PREFETCHED))
