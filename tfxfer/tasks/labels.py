"""The labels of items: class numbers or, if items may have several, rows of zeros and ones.

This module imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from tfxfer.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

_GIVEN_FROM = 0.5  # A label, one of several, is given from this probability on.


@dataclass(frozen=True, eq=False)
class ClassLabels:
    """The labels of items that have one class each.

    Attributes:
        numbers: ``[items]`` int64 class numbers.
        soft: The targets that a teacher makes of them, ``[items, classes]`` float32, 0…1; None if
            there is no teacher.
    """

    numbers: np.ndarray
    soft: np.ndarray | None = None

    unit = "pictures"

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def truth(self) -> np.ndarray:
        """The class numbers, as metrics compare them with predictions."""
        return self.numbers

    @property
    def rows(self) -> np.ndarray:
        """The class numbers, or the targets that a teacher made of them."""
        return self.numbers if self.soft is None else self.soft

    def to_targets(self, rows: tf.Tensor, class_count: int) -> tf.Tensor:
        """Return rows ``[…, classes]`` float32 that sum to 1."""
        import tensorflow as tf

        return tf.one_hot(rows, class_count) if self.soft is None else tf.cast(rows, tf.float32)

    def choose(self, indices: np.ndarray) -> ClassLabels:
        """Keep the labels at these positions."""
        return self.change(lambda array: array[indices])

    def change(self, change: Callable[[np.ndarray], np.ndarray]) -> ClassLabels:
        """Apply a function to the arrays of these labels."""
        return ClassLabels(change(self.numbers), None if self.soft is None else change(self.soft))

    def join(self, others: Sequence[ClassLabels]) -> ClassLabels:
        """Append the labels of other items to these."""
        parts = (self, *others)
        soft = [each.soft for each in parts if each.soft is not None]
        return ClassLabels(
            np.concatenate([each.numbers for each in parts]),
            np.concatenate(soft) if len(soft) == len(parts) else None,
        )

    def count(self, class_count: int) -> np.ndarray:
        """Count the items of each class, ``[classes]`` int64."""
        return np.bincount(self.numbers, minlength=class_count)

    def strata(self) -> np.ndarray:
        """Return the class numbers themselves."""
        return self.numbers

    def list_numbers(self) -> list[tuple[int, ...]]:
        """List the class numbers, one an item."""
        return [(int(number),) for number in self.numbers]

    def demand_single(self, option: str, value: object) -> np.ndarray:
        """Return the class numbers."""
        return self.numbers

    def rename(self, numbers: np.ndarray, class_count: int) -> tuple[ClassLabels, np.ndarray]:
        """Turn the class numbers into a model's; an item with a negative one does not stay."""
        found = numbers[self.numbers]
        return ClassLabels(found), found >= 0

    def predict(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the most probable class of each item, ``[items]``."""
        return probabilities.argmax(axis=1)

    def are_right(self, probabilities: np.ndarray) -> np.ndarray:
        """Say for which items the most probable class is the true one."""
        return self.predict(probabilities) == self.numbers

    def agree(self, probabilities: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Say for which items two models have the same most probable class."""
        return self.predict(probabilities) == self.predict(others)

    def given(self, probabilities: np.ndarray) -> ClassLabels:
        """Return the labels that a model gives the items."""
        return ClassLabels(self.predict(probabilities))

    def found(self, probabilities: np.ndarray) -> ClassLabels:
        """Return the labels that are true and that a model gives."""
        return ClassLabels(self.numbers[self.are_right(probabilities)])

    def soften(self, logits: np.ndarray, *, temperature: float, weight: float) -> ClassLabels:
        """Mix a teacher's softened probabilities with the labels.

        The result is ``weight · softmax(logits / temperature) + (1 - weight) · label``: Hinton,
        Vinyals and Dean 2015, "Distilling the knowledge in a neural network". There is no factor
        of the squared temperature as in the paper, because the student learns these targets at
        temperature 1, and calibration corrects its own temperature as for any model
        (`tasks/calibration.py`).

        Args:
            logits: ``[items, classes]``, the teacher's logits of the items.
            temperature: The number by which the logits are divided.
            weight: The teacher's share of the targets; the label has the rest.
        """
        targets = weight * softmax(logits.astype(np.float64) / temperature, axis=1)
        targets[np.arange(len(self)), self.numbers] += 1 - weight
        return replace(self, soft=targets.astype(np.float32))


@dataclass(frozen=True, eq=False)
class SeveralLabels:
    """The labels of items that may have any number of labels, or none.

    Attributes:
        rows: ``[items, classes]`` int8 zeros and ones.
    """

    rows: np.ndarray

    unit = "labels"

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def truth(self) -> np.ndarray:
        """The rows, as metrics compare them with predictions."""
        return self.rows

    def to_targets(self, rows: tf.Tensor, class_count: int) -> tf.Tensor:
        """Return the rows in float32."""
        import tensorflow as tf

        return tf.cast(rows, tf.float32)

    def choose(self, indices: np.ndarray) -> SeveralLabels:
        """Keep the labels at these positions."""
        return SeveralLabels(self.rows[indices])

    def change(self, change: Callable[[np.ndarray], np.ndarray]) -> SeveralLabels:
        """Apply a function to the array of these labels."""
        return SeveralLabels(change(self.rows))

    def join(self, others: Sequence[SeveralLabels]) -> SeveralLabels:
        """Append the labels of other items to these."""
        return SeveralLabels(np.concatenate([each.rows for each in (self, *others)]))

    def count(self, class_count: int) -> np.ndarray:
        """Count the items that have each label, ``[classes]`` int64."""
        return self.rows.sum(axis=0, dtype=np.int64)

    def strata(self) -> np.ndarray:
        """Return the rarest label of each item.

        An item without any label counts as one of a class of its own, numbered behind the others.
        """
        rows = self.rows
        counts = np.where(rows > 0, rows.sum(axis=0, dtype=np.int64), np.iinfo(np.int64).max)
        return np.where(rows.any(axis=1), counts.argmin(axis=1), rows.shape[1])

    def list_numbers(self) -> list[tuple[int, ...]]:
        """List the numbers of each item's labels."""
        return [tuple(map(int, np.flatnonzero(row))) for row in self.rows]

    def demand_single(self, option: str, value: object) -> np.ndarray:
        """Refuse the option.

        Raises:
            InputError: The option is given; this is always raised.
        """
        raise InputError(
            f"{option} needs one label a picture. Received: {option}={value}, and pictures with "
            "rows of labels. Leave it out."
        )

    def rename(self, numbers: np.ndarray, class_count: int) -> tuple[SeveralLabels, np.ndarray]:
        """Turn the labels into a model's; all items stay, though labels of some may be left out."""
        rows = np.zeros((len(self.rows), class_count), self.rows.dtype)
        for column, number in enumerate(numbers.tolist()):
            if number >= 0:
                np.maximum(rows[:, number], self.rows[:, column], out=rows[:, number])
        return SeveralLabels(rows), np.ones(len(rows), bool)

    def predict(self, probabilities: np.ndarray) -> np.ndarray:
        """Return ``[items, classes]`` zeros and ones, with ones from a probability of 0.5 on."""
        return (probabilities >= _GIVEN_FROM).astype(self.rows.dtype)

    def given(self, probabilities: np.ndarray) -> SeveralLabels:
        """Return the labels that a model gives the items."""
        return SeveralLabels(self.predict(probabilities))

    def found(self, probabilities: np.ndarray) -> SeveralLabels:
        """Return the labels that are true and that a model gives."""
        return SeveralLabels(self.predict(probabilities) * self.rows)

    def are_right(self, probabilities: np.ndarray) -> np.ndarray:
        """Say which items are given exactly their true labels."""
        return (self.predict(probabilities) == self.rows).all(axis=1)

    def agree(self, probabilities: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Say which items are given the same labels by two models."""
        return (self.predict(probabilities) == self.predict(others)).all(axis=1)


OwnLabels = ClassLabels | SeveralLabels
