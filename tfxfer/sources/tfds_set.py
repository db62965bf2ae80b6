"""Pictures of a TensorFlow Dataset, which stay on the disk and are read from start to end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfxfer.data.items import SHUFFLE_BUFFER, Identity
from tfxfer.machine.files import join, stamp
from tfxfer.task import Labels


@dataclass(frozen=True)
class TfdsSet:
    """Pictures of a split of a TensorFlow Dataset, or some of them.

    Attributes:
        builder: A prepared `tfds.core.DatasetBuilder`.
        split: A split's name, or an expression such as ``"train[:80%]+test"``.
        picture_key: The name of the picture feature.
        labels: The labels of the chosen pictures, as in `ItemSet`.
        chosen: ``[pictures of the split]`` bool; None chooses all of them.
        names: The names of an expression's pictures, which do not depend on the expression; empty
            for a whole split.
    """

    builder: Any
    split: str
    picture_key: str
    labels: Labels
    chosen: np.ndarray | None = None
    names: tuple[str, ...] = ()

    groups: ClassVar[tuple[str, ...]] = ()

    def encoded(self, shuffle_seed: int | None = None) -> tf.data.Dataset:
        import tensorflow_datasets as tfds

        key = self.picture_key
        dataset = self.builder.as_dataset(
            split=self.split,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding(
                {key: True}, decoders={key: tfds.decode.SkipDecoding()}
            ),
            read_config=tfds_read_config(bool(self.names)),
        )
        if self.chosen is not None:
            chosen, places = tf.constant(self.chosen), np.flatnonzero(self.chosen)
            first, last = (places[0], places[-1]) if len(places) else (0, -1)
            dataset = dataset.enumerate().skip(first).take(last - first + 1)
            dataset = dataset.filter(lambda index, _: chosen[index])
            dataset = dataset.map(lambda _, example: example)
        dataset = tf.data.Dataset.zip(
            dataset.map(lambda example: example[key]),
            tf.data.Dataset.from_tensor_slices(self.labels.rows),
        )
        if shuffle_seed is not None:
            dataset = dataset.shuffle(min(len(self.labels), SHUFFLE_BUFFER), seed=shuffle_seed)
        return dataset

    def choose(self, indices: np.ndarray) -> TfdsSet:
        """Keep the pictures at these positions, in the order of the split."""
        indices = np.sort(indices)
        mask = np.ones(len(self.labels), bool) if self.chosen is None else self.chosen
        chosen = np.zeros_like(mask)
        chosen[np.flatnonzero(mask)[indices]] = True
        return replace(self, labels=self.labels.choose(indices), chosen=chosen)

    def identities(self) -> list[Identity]:
        """Name pictures by their place in the split; stamp them with the data set's files."""
        info = join(str(self.builder.data_path), "dataset_info.json")
        # The feature is part of the stamp, because an example may hold several pictures.
        stamped = f"{info}|{stamp(info)}|{self.picture_key}"
        return [Identity(name, stamped) for name in self.where()]

    def where(self) -> list[str]:
        """Return the split or file of each picture, and its place there."""
        count = len(self.labels) if self.chosen is None else len(self.chosen)
        places = np.arange(count) if self.chosen is None else np.flatnonzero(self.chosen)
        names = self.names or [f"{self.split}/{place}" for place in range(count)]
        return [names[place] for place in places]


def tfds_read_config(in_file_order: bool) -> Any:
    """Return the settings of reading; those for an expression read one file after the other."""
    import tensorflow_datasets as tfds

    if in_file_order:
        return tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1)
    return tfds.ReadConfig(try_autocache=False)
