"""Pictures whose labels are mixed with another model's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from tfxfer.data.items import SHUFFLE_BUFFER, FileSet, Identity, ItemSet


@dataclass(frozen=True)
class SoftSet:
    """Training pictures with a distribution over the classes beside each label.

    Attributes:
        pictures: The pictures with their labels.
        targets: The targets of training, ``[pictures, classes]`` float32, 0…1.
    """

    pictures: ItemSet
    targets: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        return self.pictures.labels

    def encoded(self, shuffle_seed: int | None = None) -> tf.data.Dataset:
        """Give ``(encoded picture, its row of targets)``."""
        if isinstance(self.pictures, FileSet):
            return replace(self.pictures, labels=self.targets).encoded(shuffle_seed)
        targets = tf.data.Dataset.from_tensor_slices(self.targets)
        encoded = self.pictures.encoded().map(lambda encoded, _: encoded)
        joined = tf.data.Dataset.zip(encoded, targets)
        if shuffle_seed is not None:
            joined = joined.shuffle(min(len(self.targets), SHUFFLE_BUFFER), seed=shuffle_seed)
        return joined

    def choose(self, indices: np.ndarray) -> SoftSet:
        """Keep the pictures at these positions, given in ascending order."""
        return SoftSet(self.pictures.choose(indices), self.targets[indices])

    def identities(self) -> list[Identity]:
        return self.pictures.identities()

    def where(self) -> Sequence[str]:
        return self.pictures.where()


def targets_of(pictures: ItemSet) -> np.ndarray:
    """Return what training on some pictures is to give: their labels, or softened ones."""
    return pictures.targets if isinstance(pictures, SoftSet) else pictures.labels
