"""Items whose labels are mixed with another model's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from tfxfer.data.items import SHUFFLE_BUFFER, FileSet, Identity, ItemSet
from tfxfer.task import Labels


@dataclass(frozen=True)
class SoftSet:
    """Training items with a distribution over the classes beside each label.

    Attributes:
        items: The items with their labels.
        labels: The labels, softened.
    """

    items: ItemSet
    labels: Labels

    @property
    def groups(self) -> tuple[str, ...]:
        return self.items.groups

    def encoded(self, shuffle_seed: int | None = None) -> tf.data.Dataset:
        """Give ``(encoded item, its row of softened labels)``."""
        if isinstance(self.items, FileSet):
            return replace(self.items, labels=self.labels).encoded(shuffle_seed)
        targets = tf.data.Dataset.from_tensor_slices(self.labels.rows)
        encoded = self.items.encoded().map(lambda encoded, _: encoded)
        joined = tf.data.Dataset.zip(encoded, targets)
        if shuffle_seed is not None:
            joined = joined.shuffle(min(len(self.labels), SHUFFLE_BUFFER), seed=shuffle_seed)
        return joined

    def choose(self, indices: np.ndarray) -> SoftSet:
        """Keep the items at these positions, given in ascending order."""
        return SoftSet(self.items.choose(indices), self.labels.choose(indices))

    def identities(self) -> list[Identity]:
        return self.items.identities()

    def where(self) -> Sequence[str]:
        return self.items.where()
