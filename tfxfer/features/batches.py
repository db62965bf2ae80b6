"""Batches of features, which are read from the store or computed as they are asked for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count

import numpy as np
import tensorflow as tf

from tfxfer.data.items import untuned
from tfxfer.data.sampling import draw_evenly
from tfxfer.features.cut import Cut
from tfxfer.features.engines import BATCH, Engine, in_parts
from tfxfer.features.recorder import Recorder
from tfxfer.features.store.table import Table
from tfxfer.task import Labels

# If features have different lengths, so many batches are drawn together.
_SORTED_BATCHES = 16


@dataclass(frozen=True)
class Batching:
    """The way in which a phase's examples are put into batches.

    Attributes:
        size: The number of examples of a training step in this process.
        steps: The number of batches of an epoch; None stands for as many as the examples fill.
        draws_evenly: Whether equally many examples of each class are drawn, some of them several
            times, each time in another view. Otherwise, each example is drawn once.
    """

    size: int
    steps: int | None = None
    draws_evenly: bool = False

    def count_steps(self, examples: int) -> int:
        """Return the number of batches of an epoch.

        Examples that do not fill a batch are left out, unless there are no others.
        """
        return self.steps or max(1, examples // self.size)


@dataclass
class Waiting:
    """The seconds that training has waited for its batches, and when the present wait began."""

    seconds: float = 0.0
    since: float = 0.0


def make_stored_training(
    tables: Sequence[Table],
    labels: Labels,
    *,
    classes: int,
    batching: Batching,
    seed: int,
    first_epoch: int = 0,
) -> tf.data.Dataset:
    """Return shuffled batches of stored features; each epoch shows the next view of each item.

    Features of different lengths are batched by length, and padded with zeros. The epochs follow
    one another without end, so that one iterator serves all of them: each one begins a thread and
    reads ahead.

    Args:
        tables: The stored features of each view.
        first_epoch: The number of the first epoch, from 0; an epoch's number decides its order.
    """
    shape, dtype = tables[0].shape, _common_dtype(tables)
    steps, batch_size = batching.count_steps(len(labels)), batching.size
    rows = labels.rows

    def read_epoch(epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        generator = np.random.default_rng([seed, epoch])
        if batching.draws_evenly:
            order, rounds = draw_evenly(labels.strata(), len(labels), generator)
        else:
            order, rounds = generator.permutation(len(labels)), np.zeros(len(labels), np.int64)
        drawn = np.split(np.arange(len(labels))[: steps * batch_size], steps)
        if tables[0].is_ragged:
            drawn = group_by_length(drawn, tables[0].lengths[order], generator)
        for chosen in drawn:
            positions = order[chosen]
            # Neighbouring items show different views, so that each epoch has some of every view.
            views = (positions + rounds[chosen] + epoch) % len(tables)
            yield _read_views(tables, positions, views, dtype.as_numpy_dtype), rows[positions]

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return chain.from_iterable(map(read_epoch, count(first_epoch)))

    spec = (tf.TensorSpec((None, *shape), dtype), _spec(rows))
    endless = _from_generator(generate, spec, tf.data.INFINITE_CARDINALITY)
    return _make_targets(endless, labels, classes)


def group_by_length(
    batches: Sequence[np.ndarray], lengths: np.ndarray, generator: np.random.Generator
) -> list[np.ndarray]:
    """Divide the rows of some batches anew, so that the rows of a batch have similar lengths.

    The rows of a few batches at a time are sorted, and the new batches are given in random order,
    so that an item comes beside others in every epoch.

    Args:
        batches: The rows of an epoch, in random order.
        lengths: The lengths of all rows.
        generator: The generator that decides the order of the batches.
    """
    grouped: list[np.ndarray] = []
    for start in range(0, len(batches), _SORTED_BATCHES):
        pool = batches[start : start + _SORTED_BATCHES]
        rows = np.concatenate(pool)
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        grouped += np.split(rows, np.cumsum([len(batch) for batch in pool])[:-1])
    return [grouped[number] for number in generator.permutation(len(grouped))]


def _read_views(
    tables: Sequence[Table], positions: np.ndarray, views: np.ndarray, dtype: type
) -> np.ndarray:
    """Read the features at some positions, each from the table of its view."""
    parts = {view: tables[view].read(positions[views == view]) for view in np.unique(views)}
    shape = tables[0].shape
    if tables[0].is_ragged:
        shape = (max(part.shape[1] for part in parts.values()), *shape[1:])
        features = np.zeros((len(positions), *shape), dtype)
        for view, part in parts.items():
            features[np.flatnonzero(views == view), : part.shape[1]] = part
        return features
    features = np.empty((len(positions), *shape), dtype)
    for view, part in parts.items():
        features[views == view] = part
    return features


def read_stored(table: Table, *, batch_size: int) -> Iterator[np.ndarray]:
    """Yield batches ``[batch, *cut.shape]`` float32 of the stored features of every item, in order.

    Features of different lengths are padded with zeros.
    """
    rows = np.arange(len(table))
    for start in range(0, len(rows), batch_size):
        yield table.read(rows[start : start + batch_size]).astype(np.float32)


def time_reading(batches: Iterator[np.ndarray], waiting: Waiting) -> Iterator[np.ndarray]:
    """Yield the same batches, and add up how long their reader waits for each of them."""
    while True:
        start = time.monotonic()
        batch = next(batches, None)
        waiting.seconds += time.monotonic() - start
        if batch is None:
            return
        yield batch


def make_streamed_dataset(
    engine: Engine,
    items: tf.data.Dataset,
    *,
    cut: Cut,
    classes: int,
    steps: int,
    recorder: Recorder,
) -> tf.data.Dataset:
    """Run the frozen layers on batches of items as they come, in their order.

    Args:
        engine: The engine of the layers below the cut.
        items: Batches of ``(items, targets)``.
        cut: The cut at which the features are taken.
        steps: The number of batches.
        recorder: The recorder, which is told how long it takes.
    """

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        labels: deque[np.ndarray] = deque()

        def pieces() -> Iterator[np.ndarray]:
            for batch, batch_labels in items.as_numpy_iterator():
                labels.append(batch_labels)
                yield from in_parts(batch, BATCH)

        ready: list[np.ndarray] = []
        for (features,) in recorder.time(engine, pieces()):
            ready.append(features)
            if sum(map(len, ready)) == len(labels[0]):
                yield np.concatenate(ready), labels.popleft()
                ready.clear()

    spec = (tf.TensorSpec((None, *cut.shape)), tf.TensorSpec((None, classes)))
    return _from_generator(generate, spec, steps)


def time_waiting(dataset: tf.data.Dataset, steps: int, waiting: Waiting) -> tf.data.Dataset:
    """Return the same batches, and add up how long their reader waits for each of them.

    Args:
        steps: The number of batches, which a data set that filters does not know; it may be
            `tf.data.INFINITE_CARDINALITY`.
    """

    def start() -> np.int64:
        waiting.since = time.monotonic()
        return np.int64(0)

    def stop() -> np.int64:
        waiting.seconds += time.monotonic() - waiting.since
        return np.int64(0)

    def note_end(_, batch):
        with tf.control_dependencies(tf.nest.flatten(batch)):
            done = tf.numpy_function(stop, [], tf.int64)
        with tf.control_dependencies([done]):
            return tf.nest.map_structure(tf.identity, batch)

    # A zip asks its parts one after the other: first the clock, then the maker of the batch.
    begun = tf.data.Dataset.counter().map(lambda _: tf.numpy_function(start, [], tf.int64))
    timed = tf.data.Dataset.zip(begun, dataset).map(note_end)
    options = tf.data.Options()
    # A prefetch that TensorFlow adds would wait for the batches in place of their reader.
    options.experimental_optimization.inject_prefetch = False
    timed = timed.apply(tf.data.experimental.assert_cardinality(steps))
    return untuned(timed.with_options(options))


def _from_generator(
    generate: Callable, spec: tuple[tf.TensorSpec, tf.TensorSpec], steps: int
) -> tf.data.Dataset:
    """Return batches of float32 features, and of labels as they are generated."""
    dataset = tf.data.Dataset.from_generator(generate, output_signature=spec)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    dataset = dataset.map(lambda x, y: (tf.cast(x, tf.float32), y))
    return untuned(dataset.prefetch(4))


def _spec(rows: np.ndarray) -> tf.TensorSpec:
    """Return the spec of a batch of some rows of labels."""
    return tf.TensorSpec((None, *rows.shape[1:]), tf.as_dtype(rows.dtype))


def _make_targets(dataset: tf.data.Dataset, labels: Labels, classes: int) -> tf.data.Dataset:
    return dataset.map(lambda features, rows: (features, labels.to_targets(rows, classes)))


def _common_dtype(tables: Sequence[Table]) -> tf.DType:
    used = {table.dtype for table in tables}
    return tf.as_dtype(used.pop() if len(used) == 1 else "float32")
