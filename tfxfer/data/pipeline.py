"""From encoded items to batches for the model."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxfer.data.items import PARALLEL_CALLS, ItemSet, untuned
from tfxfer.data.sampling import encode_evenly
from tfxfer.modality import View

# Batches that are ready before they are asked for.
_PREFETCHED = 2


def make_training_dataset(
    items: ItemSet,
    view: View,
    *,
    class_count: int,
    batch_size: int,
    seed: int,
    draws_evenly: bool = False,
) -> tf.data.Dataset:
    """Give shuffled batches of changed views; every epoch another order and other changes.

    The last, smaller batch is left out (it is another one in every epoch) unless it is the only
    one. The same seed gives the same epochs.

    Args:
        view: from an encoded item and a seed ``[2]`` int64 to its array: a modality's
            `augmented_view`.
        draws_evenly: each item is of a class drawn by chance, each as likely as any other; an
            epoch has as many items as without.

    Returns:
        Batches of ``(views [batch, …], targets [batch, classes] float32)``.
    """
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    encoded_items = encode_evenly(items, seed) if draws_evenly else items.encoded(shuffle_seed=seed)

    def prepare(example, item_seed):
        encoded, row = example
        return view(encoded, item_seed), items.labels.to_targets(row, class_count)

    examples = tf.data.Dataset.zip(encoded_items, seeds).map(
        prepare, num_parallel_calls=PARALLEL_CALLS
    )
    batches = _batch(examples, batch_size, drop_remainder=len(items.labels) >= batch_size)
    return untuned(batches.prefetch(_PREFETCHED))


def make_evaluation_dataset(
    items: ItemSet, view: View, *, class_count: int, batch_size: int
) -> tf.data.Dataset:
    """Give every item once, as it is, in the order of ``items.labels``.

    Args:
        view: from an encoded item to its array: a modality's `plain_view`.

    Returns:
        Batches as in `make_training_dataset`; the last one may be smaller.
    """

    def prepare(encoded, row):
        return view(encoded), items.labels.to_targets(row, class_count)

    examples = items.encoded().map(prepare, num_parallel_calls=PARALLEL_CALLS)
    return untuned(_batch(examples, batch_size).prefetch(_PREFETCHED))


def make_view_batches(
    items: ItemSet, view: View, *, batch_size: int, seeds: np.ndarray | None = None
) -> tf.data.Dataset:
    """Give one view of every item, in the order of ``items.labels``.

    Args:
        view: from an encoded item to its array, and from its seed where there are seeds.
        seeds: ``[items, 2]`` int64, which decide the changes of each item; None: no changes.

    Returns:
        Batches ``[batch, …]``; the last one may be smaller. Where views are of different lengths,
        pairs of a batch, padded with zeros, and of these lengths ``[batch]`` int32.
    """
    encoded = items.encoded().map(lambda encoded, _: encoded)
    if seeds is None:
        views = encoded.map(view, num_parallel_calls=PARALLEL_CALLS)
    else:
        with_seeds = tf.data.Dataset.zip(encoded, tf.data.Dataset.from_tensor_slices(seeds))
        views = with_seeds.map(view, num_parallel_calls=PARALLEL_CALLS)
    if _is_free(views.element_spec):
        views = views.map(lambda values: (values, tf.shape(values)[0]))
    return untuned(_batch(views, batch_size).prefetch(_PREFETCHED))


def _batch(
    dataset: tf.data.Dataset, batch_size: int, drop_remainder: bool = False
) -> tf.data.Dataset:
    """Put elements side by side, padded with zeros where their first axis is free."""
    if any(map(_is_free, tf.nest.flatten(dataset.element_spec))):
        return dataset.padded_batch(batch_size, drop_remainder=drop_remainder)
    return dataset.batch(batch_size, drop_remainder=drop_remainder)


def _is_free(spec: tf.TensorSpec) -> bool:
    """Whether the first axis, and no other one, is of any length."""
    sides = spec.shape.as_list() if spec.shape.rank else [0]
    return sides[0] is None and None not in sides[1:]
