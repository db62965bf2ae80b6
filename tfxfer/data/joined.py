"""Several sets of items joined to one, such as training and validation together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, reduce

import numpy as np
import tensorflow as tf

from tfxfer.data.items import SHUFFLE_BUFFER, Identity, ItemData, ItemSet
from tfxfer.task import Labels


@dataclass(frozen=True)
class JoinedSet:
    """The items of several sets, one set after the other."""

    parts: tuple[ItemSet, ...]

    @cached_property
    def labels(self) -> Labels:
        first, *others = (part.labels for part in self.parts)
        return first.join(others)

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(group for part in self.parts for group in part.groups)

    def encoded(self, shuffle_seed: int | None = None) -> tf.data.Dataset:
        datasets = [part.encoded(shuffle_seed) for part in self.parts]
        joined = reduce(lambda one, other: one.concatenate(other), datasets)
        if shuffle_seed is not None:
            joined = joined.shuffle(min(len(self.labels), SHUFFLE_BUFFER), seed=shuffle_seed)
        return joined

    def choose(self, indices: np.ndarray) -> JoinedSet:
        """Keep the items at these positions, given in ascending order."""
        ends = np.cumsum([len(part.labels) for part in self.parts])
        starts = np.concatenate([[0], ends[:-1]])
        own = [
            indices[(indices >= start) & (indices < end)] - start
            for start, end in zip(starts, ends, strict=True)
        ]
        parts = [
            part.choose(chosen) for part, chosen in zip(self.parts, own, strict=True) if len(chosen)
        ]
        return JoinedSet(tuple(parts) or (self.parts[0].choose(indices),))

    def identities(self) -> list[Identity]:
        return [identity for part in self.parts for identity in part.identities()]

    def where(self) -> list[str]:
        return [place for part in self.parts for place in part.where()]


def join_validation(data: ItemData) -> ItemData:
    """Add the validation items to the training items, after an earlier run used them."""
    note = (
        "the validation pictures are trained on too: their figures are those of training, and "
        "each phase keeps its last epoch"
    )
    joined = JoinedSet((data.train, data.validation))
    return replace(data, train=joined, notes=(*data.notes, note))
