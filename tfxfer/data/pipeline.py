"""From encoded items to batches for the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf

from tfxfer.data.items import PARALLEL_CALLS, ItemSet, spread, untuned
from tfxfer.data.sampling import encode_evenly
from tfxfer.errors import InputError
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
) -> Iterator[Any]:
    """Give one view of every item, in the order of ``items.labels``.

    A thread prepares the next batches while one is used, and begins at once. A view's function is
    called for a batch at a time, and not by the data set: a data set would make its graph ready
    anew for each iterator, which takes as long as hundreds of small pictures.

    Args:
        view: from an encoded item to its array, and from its seed where there are seeds.
        seeds: ``[items, 2]`` int64, which decide the changes of each item; None: no changes.

    Returns:
        Batches ``[batch, …]``; the last one may be smaller. Where views are of different lengths,
        pairs of a batch, padded with zeros, and of these lengths ``[batch]`` int32.

    Raises:
        InputError: The source has fewer items than were listed.
    """
    encoded = items.encoded().map(lambda encoded, _: encoded).batch(batch_size)
    given = iter(untuned(encoded.prefetch(_PREFETCHED)))
    prepare = _batched(view, seeds is not None)
    starts = range(0, len(items.labels), batch_size)

    def read(start: int) -> Any:
        batch = next(given, None)
        if batch is None:
            raise InputError(
                f"A source must stay as it is while it is read. Received: {start:,} items of one "
                f"that had {len(items.labels):,} when it was listed. Start again."
            )
        with tf.device("CPU:0"):  # A GPU would be given every operation that it knows.
            drawn = () if seeds is None else (tf.constant(seeds[start : start + batch_size]),)
            return tf.nest.map_structure(lambda part: part.numpy(), prepare(batch, *drawn))

    pool = ThreadPoolExecutor(1)
    ahead = deque(pool.submit(read, start) for start in starts[:_PREFETCHED])
    return _take(pool, ahead, read, iter(starts[_PREFETCHED:]))


def take_sample(items: ItemSet, view: View, *, count: int) -> np.ndarray:
    """Return views of some items from all over a split, because neighbours are often of one class.

    Args:
        view: the same as in `make_view_batches`.
        count: the number of items.
    """
    return next(take_views(make_view_batches(spread(items, count), view, batch_size=count)))


def take_views(batches: Iterator[Any]) -> Iterator[np.ndarray]:
    """Yield the views of `make_view_batches` without their lengths."""
    return (batch[0] if isinstance(batch, tuple) else batch for batch in batches)


def _take(
    pool: ThreadPoolExecutor,
    ahead: deque[Future],
    read: Callable[[int], Any],
    starts: Iterator[int],
) -> Iterator[Any]:
    """Yield what a pool has prepared, and let it prepare what follows."""
    try:
        while ahead:
            batch = ahead.popleft().result()
            ahead.extend(pool.submit(read, start) for start in islice(starts, 1))
            yield batch
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@lru_cache(maxsize=32)
def _batched(view: View, has_seeds: bool) -> Callable[..., Any]:
    """Return a view's function of one item as one of a batch, traced once."""
    given = [tf.TensorSpec([None], tf.string), tf.TensorSpec([None, 2], tf.int64)][: 1 + has_seeds]
    of_one = [tf.TensorSpec(spec.shape[1:], spec.dtype) for spec in given]
    found = tf.function(view, autograph=False).get_concrete_function(*of_one).structured_outputs
    signature: Any = tf.TensorSpec(found.shape, found.dtype)
    is_free = _is_free(signature)
    if is_free:
        signature = tf.RaggedTensorSpec(found.shape, found.dtype, ragged_rank=0)

    @tf.function(input_signature=given, autograph=False)
    def prepare(*batch: tf.Tensor) -> Any:
        views = tf.map_fn(
            lambda item: view(*item),
            batch,
            fn_output_signature=signature,
            parallel_iterations=PARALLEL_CALLS,
        )
        return (views.to_tensor(), tf.cast(views.row_lengths(), tf.int32)) if is_free else views

    return prepare.get_concrete_function()


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
