"""Sets of encoded items with their labels, which every source gives to the pipeline."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tfxfer.machine.files import for_each, stamp
from tfxfer.modality import Modality
from tfxfer.records.plans import BadFile
from tfxfer.task import Labels, Task

# So many items are read or decoded at the same time.
PARALLEL_CALLS = os.cpu_count() or 1
# Encoded items that are read from start to end are shuffled through a buffer of this size.
SHUFFLE_BUFFER = 4096


class Identity(NamedTuple):
    """The identity of an item.

    Attributes:
        name: A name that does not depend on where the data lie; it seeds random changes.
        stamp: A text that changes when the item is replaced or edited.
    """

    name: str
    stamp: str


class ItemSet(Protocol):
    """The items of one split.

    Attributes:
        labels: in the order in which `encoded` gives the items.
        groups: what each item shows, such as which bird: a group stays in one split; empty where
            nobody said.
    """

    @property
    def labels(self) -> Labels: ...

    @property
    def groups(self) -> tuple[str, ...]: ...

    def encoded(self, shuffle_seed: int | None = None) -> tf.data.Dataset:
        """Give ``(encoded item: string, its row of the labels' rows)``, one at a time.

        Args:
            shuffle_seed: A seed that decides the order, which differs in every epoch; None
                keeps the order of `labels`.
        """

    def choose(self, indices: np.ndarray) -> ItemSet:
        """Keep the items at these positions, given in ascending order."""

    def identities(self) -> list[Identity]:
        """Return the identity of each item, in the order of `labels`."""

    def where(self) -> Sequence[str]:
        """Return where each item lies as a unique text, in the order of `labels`."""


def names_to_hash(items: ItemSet) -> Sequence[str]:
    """Return the text that decides each item's split by hash: its group, else its name."""
    return items.groups or [identity.name for identity in items.identities()]


def spread(items: ItemSet, count: int) -> ItemSet:
    """Return at most `count` items, spread evenly, because sources list them class by class."""
    return items.choose(spread_rows(len(items.labels), count))


def spread_rows(total: int, count: int) -> np.ndarray:
    """Return the positions of the items that `spread` takes."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switch off the automatic tuning of a data set's parallel calls.

    `fit` drops an iterator after each epoch, and then waits until the tuning thread wakes up, which
    took up to ten seconds (TensorFlow 2.21). The graph rewrites are also switched off: they find
    nothing to improve here, and take a fifth of the time in which an iterator is made.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.with_options(options)


@dataclass(frozen=True)
class FileSet:
    """Items in files."""

    paths: tuple[str, ...]
    labels: Labels
    groups: tuple[str, ...] = ()

    def encoded(self, shuffle_seed: int | None = None) -> tf.data.Dataset:
        # Paths are passed as bytes, because file names need not be UTF-8.
        paths = [os.fsencode(path) for path in self.paths]
        dataset = tf.data.Dataset.from_tensor_slices((paths, self.labels.rows))
        if shuffle_seed is not None:
            # Only paths are shuffled and not items, so that a full shuffle needs no memory.
            dataset = dataset.shuffle(len(self.paths), seed=shuffle_seed)
        return dataset.map(
            lambda path, label: (tf.io.read_file(path), label), num_parallel_calls=PARALLEL_CALLS
        )

    def choose(self, indices: np.ndarray) -> FileSet:
        """Keep the items at these positions."""
        return FileSet(
            tuple(self.paths[index] for index in indices),
            self.labels.choose(indices),
            tuple(self.groups[index] for index in indices) if self.groups else (),
        )

    def identities(self) -> list[Identity]:
        """Name files by their class folder and name; stamp them with path, size and time."""
        return [
            Identity("/".join(Path(path).parts[-2:]), f"{path}|{stamped}")
            for path, stamped in zip(self.paths, for_each(stamp, self.paths), strict=True)
        ]

    def where(self) -> Sequence[str]:
        return self.paths


@dataclass(frozen=True)
class ItemData:
    """All that a source holds.

    Attributes:
        source: Where the items come from, in words for people.
        classes: The class names; a label is a position in them.
        task: What is to be learned of the items.
        train, validation, test: The splits; `test` is only for the final evaluation.
        modality: The kind of the items.
        notes: What the user should know, for example about splits that were made.
        quarantined: The files, records or examples that were left out.
    """

    source: str
    classes: tuple[str, ...]
    task: Task
    train: ItemSet
    validation: ItemSet
    test: ItemSet
    modality: Modality
    notes: tuple[str, ...] = ()
    quarantined: tuple[BadFile, ...] = ()

    @property
    def splits(self) -> dict[str, ItemSet]:
        """The splits by name, from training to test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def counts(self) -> dict[str, int]:
        """The number of items in each split."""
        return {name: len(split.labels) for name, split in self.splits.items()}
