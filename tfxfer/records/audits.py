"""The findings of an audit as frozen dataclasses. This module imports no TensorFlow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Look:
    """What one look at an item found.

    Attributes:
        path: Where it lies: the path of its file, or the name of its record or example.
        kind: Its format by its content; None if it is no item.
        height_px, width_px: The stored sides, before it is turned upright; 0 if unknown.
        fault: Why it cannot be used; None if it can.
        oddities: The oddities of a usable item: keys of the modality's oddities.
        digest: The hash of its bytes.
        thumbnail: ``16 * 16 * 3`` bytes: RGB, upright, squashed to a square; empty with a fault.
    """

    path: str
    size_bytes: int
    kind: str | None
    height_px: int = 0
    width_px: int = 0
    fault: str | None = None
    oddities: tuple[str, ...] = ()
    digest: str = ""
    thumbnail: bytes = b""


@dataclass(frozen=True)
class Copies:
    """A group of items that are all copies of the first one.

    Attributes:
        rows: The positions of the items, ascending.
        is_exact: Whether all hold the same bytes.
    """

    rows: tuple[int, ...]
    is_exact: bool


@dataclass(frozen=True)
class Audit:
    """The findings in all items of a source.

    Attributes:
        source: Where the items come from, in words for people.
        classes: The class names.
        looks: The look at each item.
        splits: The split of each item in the source.
        labels: The class numbers of each item.
        copies: The groups of copies among the usable items.
        conflicts: The groups of copies whose labels differ.
        leaks: Training items with a copy in validation or test, and validation ones with a copy
            in test.
        meanings: The meaning of each oddity, for people.
        unit: The units of the source: ``"files"``, ``"records"`` or ``"examples"``.
        refusal: Why training would refuse these items, apart from those that cannot be used; empty
            if it would not.
    """

    source: str
    classes: tuple[str, ...]
    looks: tuple[Look, ...]
    splits: tuple[str, ...]
    labels: tuple[tuple[int, ...], ...]
    copies: tuple[Copies, ...]
    conflicts: tuple[Copies, ...]
    leaks: tuple[int, ...]
    unit: str = "files"
    meanings: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""

    @cached_property
    def faults(self) -> tuple[Look, ...]:
        """The items that cannot be used."""
        return tuple(look for look in self.looks if look.fault)

    @cached_property
    def oddities(self) -> dict[str, tuple[int, ...]]:
        """The rows of usable items with each oddity, the most frequent oddity first."""
        counts = Counter(key for look in self.looks for key in look.oddities)
        return {
            key: tuple(row for row, look in enumerate(self.looks) if key in look.oddities)
            for key, _ in counts.most_common()
        }

    def count(self, split: str) -> np.ndarray:
        """Count the usable items of each class in a split, ``[classes]`` int64."""
        numbers = [
            number
            for look, name, labels in zip(self.looks, self.splits, self.labels, strict=True)
            if name == split and not look.fault
            for number in labels
        ]
        return np.bincount(np.array(numbers, np.int64), minlength=len(self.classes))
