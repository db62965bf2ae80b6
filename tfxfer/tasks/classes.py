"""The task whose items have one class each. This module imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfxfer.records.evaluations import Evaluation
from tfxfer.tasks.dense import DenseTask

if TYPE_CHECKING:
    import numpy as np

    from tfxfer.tasks.labels import ClassLabels
    from tfxfer.tasks.objective import ClassObjective


class Classes(DenseTask):
    """The task of one class an item: softmax, cross-entropy, accuracy. See `tfxfer.task.Task`."""

    name = "classes"
    activation = "softmax"
    compares_by_item = True

    def read(self, rows: np.ndarray) -> ClassLabels:
        """Make labels of class numbers ``[items]`` int64."""
        from tfxfer.tasks.labels import ClassLabels

        return ClassLabels(rows)

    def make_objective(
        self,
        labels: Any,
        class_count: int,
        *,
        balance: str = "none",
        keeps_last: bool = False,
        source: str = "",
    ) -> ClassObjective:
        """Make the objective of training."""
        from tfxfer.tasks.objective import ClassObjective

        return ClassObjective(balance, tuple(map(int, labels.count(class_count))), keeps_last)

    def note_sizes(self, class_counts: Mapping[str, int], balance: str) -> list[str]:
        """Say what can be done if classes differ much in size."""
        from tfxfer.tasks.balance import note_imbalance

        return note_imbalance(class_counts, balance)

    def evaluate(
        self, split: str, labels: Any, probabilities: np.ndarray, classes: Sequence[str]
    ) -> Evaluation:
        """Compare the most probable classes with the true ones."""
        from tfxfer.tasks.metrics import evaluate_classes

        return evaluate_classes(split, labels, probabilities, classes)

    def find_intervals(
        self, labels: Any, probabilities: np.ndarray
    ) -> dict[str, tuple[float, float]]:
        """Return intervals of the macro F1 and the macro recall."""
        from tfxfer.tasks.intervals import class_intervals

        return class_intervals(labels, probabilities)

    def note_mismatches(
        self, labels: Any, probabilities: np.ndarray, classes: Sequence[str]
    ) -> list[str]:
        """Say which classes no item has, and whether the model gives several labels."""
        from tfxfer.tasks.by_class import gives_one_label, note_absent

        notes = note_absent(labels, classes)
        if not gives_one_label(probabilities):
            notes.append(
                "the model's probabilities do not sum to 1, as those of one that gives several "
                "labels: the most probable class counts as what it says"
            )
        return notes

    def check_teacher(self, source: str) -> None:
        """Accept any teacher."""

    def soften(
        self, labels: Any, logits: np.ndarray, *, temperature: float, weight: float
    ) -> ClassLabels:
        """Mix a teacher's softened probabilities with the labels."""
        return labels.soften(logits, temperature=temperature, weight=weight)
