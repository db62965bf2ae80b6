"""The task whose items may have several labels, or none. This module imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfxfer.errors import InputError
from tfxfer.records.evaluations import Evaluation
from tfxfer.tasks.dense import DenseTask

if TYPE_CHECKING:
    import numpy as np

    from tfxfer.tasks.labels import SeveralLabels
    from tfxfer.tasks.objective import SeveralObjective


class Several(DenseTask):
    """The task of several labels an item: sigmoid, binary cross-entropy, mean average precision.

    See `tfxfer.task.Task`.
    """

    name = "several"
    activation = "sigmoid"
    compares_by_item = False

    def read(self, rows: np.ndarray) -> SeveralLabels:
        """Make labels of rows ``[items, classes]`` int8 of zeros and ones."""
        from tfxfer.tasks.labels import SeveralLabels

        return SeveralLabels(rows)

    def make_objective(
        self,
        labels: Any,
        class_count: int,
        *,
        balance: str = "none",
        keeps_last: bool = False,
        source: str = "",
    ) -> SeveralObjective:
        """Make the objective of training.

        Raises:
            InputError: Classes are to be balanced.
        """
        from tfxfer.tasks.objective import SeveralObjective

        if balance != "none":
            raise InputError(
                "balance needs one label a picture: a picture with several belongs to small "
                f"classes and to large ones at once. Received: data.balance={balance!r} with "
                f"{source!r}, whose pictures may have several. Take data.balance='none'."
            )
        return SeveralObjective(keeps_last)

    def note_sizes(self, class_counts: Mapping[str, int], balance: str) -> list[str]:
        """Return nothing, because items with several labels cannot be balanced."""
        return []

    def evaluate(
        self, split: str, labels: Any, probabilities: np.ndarray, classes: Sequence[str]
    ) -> Evaluation:
        """Compare the labels that are given with the true ones."""
        from tfxfer.tasks.metrics import evaluate_several

        return evaluate_several(split, labels, probabilities, classes)

    def find_intervals(
        self, labels: Any, probabilities: np.ndarray
    ) -> dict[str, tuple[float, float]]:
        """Return intervals of macro and micro F1, the macro recall and the mAP."""
        from tfxfer.tasks.intervals import several_intervals

        return several_intervals(labels, probabilities)

    def note_mismatches(
        self, labels: Any, probabilities: np.ndarray, classes: Sequence[str]
    ) -> list[str]:
        """Say which classes no item has, and whether the model gives one label."""
        from tfxfer.tasks.by_class import gives_one_label, note_absent

        notes = note_absent(labels, classes)
        if gives_one_label(probabilities):
            notes.append(
                "pictures have several labels, and the model's probabilities sum to 1: it was "
                "made for one"
            )
        return notes

    def check_teacher(self, source: str) -> None:
        """Refuse any teacher.

        Raises:
            InputError: A teacher is given; this is always raised.
        """
        raise _no_teacher(source)

    def soften(
        self, labels: Any, logits: np.ndarray, *, temperature: float, weight: float
    ) -> SeveralLabels:
        """Refuse any teacher, as `check_teacher` does."""
        raise _no_teacher("")


def _no_teacher(source: str) -> InputError:
    return InputError(
        "A teacher's probabilities must sum to 1 for each picture. Received: "
        f"{source!r}, whose pictures may have several labels. Train the small network "
        "on them by itself."
    )
