"""The task whose items may have several labels, or none. Imports no TensorFlow."""

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
    """Any number of labels an item: sigmoids, binary cross-entropy, mAP. See `tfxfer.task.Task`."""

    name = "several"
    activation = "sigmoid"
    compares_by_item = False

    def read(self, rows: np.ndarray) -> SeveralLabels:
        """Read rows ``[items, classes]`` int8 zeros and ones."""
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
        """Say what training is after.

        Raises:
            InputError: classes are to be balanced.
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
        """Say nothing: items with several labels cannot be balanced."""
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
        """Find intervals of macro and micro F1, the macro recall and the mAP."""
        from tfxfer.tasks.intervals import several_intervals

        return several_intervals(labels, probabilities)

    def note_mismatches(
        self, labels: Any, probabilities: np.ndarray, classes: Sequence[str]
    ) -> list[str]:
        """Say where the model gives one label."""
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
            InputError: always.
        """
        raise _no_teacher(source)

    def soften(
        self, labels: Any, logits: np.ndarray, *, temperature: float, weight: float
    ) -> SeveralLabels:
        """Refuse it, as `check_teacher` does."""
        raise _no_teacher("")


def _no_teacher(source: str) -> InputError:
    return InputError(
        "A teacher's probabilities must sum to 1 for each picture. Received: "
        f"{source!r}, whose pictures may have several labels. Train the small network "
        "on them by itself."
    )
