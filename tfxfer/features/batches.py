"""Batches of features: read from the store, or computed as they are asked for."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfxfer.data.items import untuned
from tfxfer.data.sampling import draw_evenly
from tfxfer.features.cut import Cut
from tfxfer.features.engines import BATCH, Engine, in_parts
from tfxfer.features.recorder import Recorder
from tfxfer.features.store.table import Table
from tfxfer.task import Labels

# Batches that are drawn together where features are of different lengths.
_SORTED_BATCHES = 16


@dataclass(frozen=True)
class Batching:
    """How a phase's examples are put into batches.

    Attributes:
        size: examples of a training step in this process.
        steps: batches of an epoch; None: as many as the examples fill.
        draws_evenly: as many examples of each class are drawn, some of them several times, each
            time in another view; else each example is drawn once.
    """

    size: int
    steps: int | None = None
    draws_evenly: bool = False

    def count_steps(self, examples: int) -> int:
        """Batches of an epoch; what does not fill one is left out, unless it is all there is."""
        return self.steps or max(1, examples // self.size)


@dataclass
class Waiting:
    """How long training waited for its batches, in seconds."""

    seconds: float = 0.0
    since: float = 0.0


class Epochs:
    """Numbers the passes over training batches.

    `fit` may begin a pass that it does not use, to build a model from its first batch. So each
    epoch is told its number when it begins, and the passes that nobody tells are counted.
    """

    def __init__(self) -> None:
        self._number, self._passes = 0, Counter[str]()

    def start(self, number: int) -> None:
        """Let the next pass be of an epoch, by its number from 0."""
        self._number = number
        self._passes.clear()

    def take(self, reader: str) -> int:
        """The number of the epoch whose pass begins, for one of those who read along."""
        number = self._number + self._passes[reader]
        self._passes[reader] += 1
        return number


def make_stored_training(
    tables: Sequence[Table],
    labels: Labels,
    *,
    classes: int,
    batching: Batching,
    seed: int,
    epochs: Epochs | None = None,
) -> tf.data.Dataset:
    """Give shuffled batches of stored features; each epoch shows the next view of each item.

    Features of different lengths are batched by length, and are zero behind their ends.

    Args:
        tables: of each view.
        epochs: numbers the epochs; None: from 0 on.
    """
    shape, dtype = tables[0].shape, _common_dtype(tables)
    steps, batch_size = batching.count_steps(len(labels)), batching.size
    epochs, rows = epochs or Epochs(), labels.rows

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        epoch = epochs.take("features")
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
            # Neighbours are at different views, so that each epoch has some of every one.
            views = (positions + rounds[chosen] + epoch) % len(tables)
            yield _read_views(tables, positions, views, dtype.as_numpy_dtype), rows[positions]

    spec = (tf.TensorSpec((None, *shape), dtype), _spec(rows))
    return _make_targets(_from_generator(generate, spec, steps), labels, classes)


def group_by_length(
    batches: Sequence[np.ndarray], lengths: np.ndarray, generator: np.random.Generator
) -> list[np.ndarray]:
    """Draw batches anew from what some batches hold, so that those in one are about as long.

    What is sorted is a few batches at a time, which are then given in random order: an item comes
    beside others in every epoch.

    Args:
        batches: rows of an epoch in random order.
        lengths: of all rows.
        generator: decides the order of the batches.
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
    """Read the features of some positions, each one from the table of its view."""
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


def make_stored_evaluation(
    table: Table, labels: Labels, *, classes: int, batch_size: int
) -> tf.data.Dataset:
    """Give the stored features of every item once, in order."""
    rows = labels.rows

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(labels), batch_size):
            positions = np.arange(start, min(start + batch_size, len(labels)))
            yield table.read(positions), rows[positions]

    steps = math.ceil(len(labels) / batch_size)
    spec = (tf.TensorSpec((None, *table.shape), _common_dtype([table])), _spec(rows))
    return _make_targets(_from_generator(generate, spec, steps), labels, classes)


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
        engine: of the layers below the cut.
        items: batches of ``(items, targets)``.
        cut: where the features come from.
        steps: number of the batches.
        recorder: is told how long it takes.
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
    """Give the same batches, and add up how long whoever asks for one waits until it is there.

    Args:
        steps: number of the batches; a data set that filters does not know it.
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

    # A zip asks its parts one after the other: first the clock, then whoever makes the batch.
    begun = tf.data.Dataset.counter().map(lambda _: tf.numpy_function(start, [], tf.int64))
    timed = tf.data.Dataset.zip(begun, dataset).map(note_end)
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False  # it would be the one who waits
    timed = timed.apply(tf.data.experimental.assert_cardinality(steps))
    return untuned(timed.with_options(options))


def _from_generator(
    generate: Callable, spec: tuple[tf.TensorSpec, tf.TensorSpec], steps: int
) -> tf.data.Dataset:
    """Batches of float32 features and of labels as they come."""
    dataset = tf.data.Dataset.from_generator(generate, output_signature=spec)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    dataset = dataset.map(lambda x, y: (tf.cast(x, tf.float32), y))
    return untuned(dataset.prefetch(4))


def _spec(rows: np.ndarray) -> tf.TensorSpec:
    """What a batch of some rows of labels is."""
    return tf.TensorSpec((None, *rows.shape[1:]), tf.as_dtype(rows.dtype))


def _make_targets(dataset: tf.data.Dataset, labels: Labels, classes: int) -> tf.data.Dataset:
    return dataset.map(lambda features, rows: (features, labels.to_targets(rows, classes)))


def _common_dtype(tables: Sequence[Table]) -> tf.DType:
    used = {table.dtype for table in tables}
    return tf.as_dtype(used.pop() if len(used) == 1 else "float32")
