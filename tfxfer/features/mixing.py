"""MixUp and CutMix on batches of items or of features."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import tensorflow as tf

_PURPOSE = 1  # It makes these random numbers differ from those that shuffle the same epoch.


def mix_batches(
    dataset: tf.data.Dataset,
    *,
    mixup: float,
    cutmix: float,
    seeds: tf.data.Dataset,
) -> tf.data.Dataset:
    """Blend each example of a batch, and its label, with another example of the batch.

    MixUp (Zhang et al. 2018; on features: Verma et al. 2019, "Manifold Mixup") takes weighted
    means. CutMix (Yun et al. 2019) pastes a rectangle, which needs maps ``[batch, h, w,
    channels]``, where features keep their place in the item. If both are asked for, chance
    decides for each batch.

    Args:
        dataset: Batches of ``(examples, one-hot labels)``, float32.
        mixup, cutmix: The parameter of the Beta distribution of the share, above 0; 0 means none.
        seeds: A seed ``[2]`` int64 for each batch, which decides its shares and rectangles.
    """
    if not mixup and not cutmix:
        return dataset

    def mix(batch, batch_seed):
        examples, labels = batch
        which, box = tf.unstack(tf.random.experimental.stateless_split(batch_seed, 2), num=2)
        if not cutmix:
            return _mixup(examples, labels, mixup, box)
        if not mixup:
            return _cutmix(examples, labels, cutmix, box)
        return tf.cond(
            tf.random.stateless_uniform([], which) < 0.5,
            lambda: _mixup(examples, labels, mixup, box),
            lambda: _cutmix(examples, labels, cutmix, box),
        )

    return tf.data.Dataset.zip(dataset, seeds).map(mix).prefetch(2)


def draw_seeds(seed: int, steps: int, first_epoch: int = 0) -> tf.data.Dataset:
    """Give a seed ``[2]`` int64 for each batch of all epochs, which the epoch's number decides.

    Args:
        steps: The number of batches of an epoch.
        first_epoch: The number of the first epoch, from 0.
    """

    def draw() -> Iterator[np.ndarray]:
        for epoch in count(first_epoch):
            generator = np.random.default_rng([seed, epoch, _PURPOSE])
            for _ in range(steps):
                yield generator.integers(np.iinfo(np.int64).max, size=2)

    seeds = tf.data.Dataset.from_generator(draw, output_signature=tf.TensorSpec([2], tf.int64))
    return seeds.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))


def _mixup(examples, labels, alpha, seed):
    share = _share(alpha, seed)
    # The batch is in random order, so its reverse pairs every example with a random one.
    return (
        share * examples + (1 - share) * examples[::-1],
        share * labels + (1 - share) * labels[::-1],
    )


def _cutmix(examples, labels, alpha, seed):
    sides = tf.shape(examples)[1:3]
    place, amount = tf.unstack(tf.random.experimental.stateless_split(seed, 2), num=2)
    relative = tf.sqrt(1 - _share(alpha, amount))
    lengths = tf.cast(tf.round(relative * tf.cast(sides, tf.float32)), tf.int32)
    starts = tf.cast(
        tf.random.stateless_uniform([2], place) * tf.cast(sides - lengths + 1, tf.float32), tf.int32
    )
    rows, columns = (
        (tf.range(sides[axis]) >= starts[axis])
        & (tf.range(sides[axis]) < starts[axis] + lengths[axis])
        for axis in range(2)
    )
    is_pasted = tf.cast(rows[:, tf.newaxis] & columns[tf.newaxis], examples.dtype)
    pasted = tf.reduce_mean(is_pasted)
    is_pasted = is_pasted[tf.newaxis, :, :, tf.newaxis]
    return (
        examples * (1 - is_pasted) + examples[::-1] * is_pasted,
        labels * (1 - pasted) + labels[::-1] * pasted,
    )


def _share(alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """Draw the share that stays, in 0.5…1, as the larger part of a draw from Beta(alpha, alpha)."""
    gammas = tf.random.stateless_gamma([2], seed, alpha)
    share = tf.math.divide_no_nan(gammas[0], gammas[0] + gammas[1])
    return tf.maximum(share, 1 - share)
