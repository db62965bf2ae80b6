"""What was seen of pictures before training, as frozen dataclasses. Imports no TensorFlow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Look:
    """What one look at a picture has found.

    Attributes:
        path: where it lies, for people: a file's path, or which record or example it is.
        kind: its format by its content; None: it is no picture.
        height_px, width_px: as stored, before it is turned upright; 0 where they are not known.
        fault: why it cannot be used; None where it can.
        oddities: what is unusual about it, though it can be used: keys of the modality's oddities.
        digest: hash of its bytes.
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
    """A group of pictures of which all are copies of one.

    Attributes:
        rows: positions of the pictures, ascending.
        is_exact: whether all hold the same bytes.
    """

    rows: tuple[int, ...]
    is_exact: bool


@dataclass(frozen=True)
class Audit:
    """What was found in all pictures of a source.

    Attributes:
        source: where they come from, for people.
        classes: class names.
        looks: one a picture.
        splits: by picture, the split that the source puts it into.
        labels: by picture, its classes' numbers.
        copies: of the pictures that can be used.
        conflicts: those of them whose labels differ.
        leaks: training pictures with a copy in validation or test, and validation ones with a copy
            in test.
        meanings: what each oddity means, for people.
        unit: what the source is made of: ``"files"``, ``"records"`` or ``"examples"``.
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

    @cached_property
    def faults(self) -> tuple[Look, ...]:
        """The pictures that cannot be used."""
        return tuple(look for look in self.looks if look.fault)

    @cached_property
    def oddities(self) -> dict[str, tuple[int, ...]]:
        """Rows of usable pictures by what is unusual about them, the most frequent first."""
        counts = Counter(key for look in self.looks for key in look.oddities)
        return {
            key: tuple(row for row, look in enumerate(self.looks) if key in look.oddities)
            for key, _ in counts.most_common()
        }

    def count(self, split: str) -> np.ndarray:
        """Usable pictures of each class in a split, ``[classes]`` int64."""
        numbers = [
            number
            for look, name, labels in zip(self.looks, self.splits, self.labels, strict=True)
            if name == split and not look.fault
            for number in labels
        ]
        return np.bincount(np.array(numbers, np.int64), minlength=len(self.classes))
