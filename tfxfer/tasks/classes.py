"""The task whose items have one class each. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfxfer.config.head import HeadConfig
from tfxfer.records.evaluations import ClassFigures, Evaluation, PictureResult

if TYPE_CHECKING:
    import numpy as np

    from tfxfer.tasks.heads import DenseHead
    from tfxfer.tasks.labels import ClassLabels
    from tfxfer.tasks.objective import ClassObjective


class Classes:
    """One class an item: a softmax, cross-entropy, accuracy. See `tfxfer.task.Task`."""

    name = "classes"
    compares_by_item = True

    def read(self, rows: np.ndarray) -> ClassLabels:
        """Read class numbers ``[items]`` int64."""
        from tfxfer.tasks.labels import ClassLabels

        return ClassLabels(rows)

    def build_head(self, config: HeadConfig, class_count: int, *, seed: int) -> DenseHead:
        """Make a head whose probabilities sum to 1."""
        from tfxfer.tasks.heads import build_head

        return build_head(config, class_count, seed, activation="softmax")

    def make_objective(
        self,
        labels: Any,
        class_count: int,
        *,
        balance: str = "none",
        keeps_last: bool = False,
        source: str = "",
    ) -> ClassObjective:
        """Say what training is after."""
        from tfxfer.tasks.objective import ClassObjective

        return ClassObjective(balance, tuple(map(int, labels.count(class_count))), keeps_last)

    def note_sizes(self, class_counts: Mapping[str, int], balance: str) -> list[str]:
        """Say what can be done where classes differ much in size."""
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
        """Find intervals of the macro F1 and the macro recall."""
        from tfxfer.tasks.intervals import class_intervals

        return class_intervals(labels, probabilities)

    def list_figures(
        self, labels: Any, probabilities: np.ndarray, classes: Sequence[str]
    ) -> tuple[ClassFigures, ...]:
        """List how a model does on each class that occurs."""
        from tfxfer.tasks.by_class import list_figures

        given = labels.predict(probabilities)
        right = type(labels)(labels.numbers[given == labels.numbers])
        return list_figures(labels, type(labels)(given), right, classes)

    def list_results(
        self, places: Sequence[str], labels: Any, probabilities: np.ndarray, classes: Sequence[str]
    ) -> Iterator[PictureResult]:
        """List what a model says of each item."""
        from tfxfer.tasks.by_class import list_results

        return list_results(places, labels, probabilities, classes)

    def note_mismatches(
        self, labels: Any, probabilities: np.ndarray, classes: Sequence[str]
    ) -> list[str]:
        """Say where the model gives several labels."""
        from tfxfer.tasks.by_class import gives_one_label, note_absent

        notes = note_absent(labels, classes)
        if not gives_one_label(probabilities):
            notes.append(
                "the model's probabilities do not sum to 1, as those of one that gives several "
                "labels: the most probable class counts as what it says"
            )
        return notes

    def fit_temperature(self, labels: Any, probabilities: np.ndarray) -> float:
        """Find the temperature of a softmax."""
        from tfxfer.tasks import calibration, outputs

        return calibration.fit_temperature(labels.numbers, probabilities, outputs.SOFTMAX)

    def apply_temperature(self, probabilities: np.ndarray, temperature: float) -> np.ndarray:
        """Divide the logits of a softmax."""
        from tfxfer.tasks import calibration, outputs

        return calibration.apply_temperature(probabilities, temperature, outputs.SOFTMAX)

    def calibration_error(self, labels: Any, probabilities: np.ndarray) -> float:
        """Give the error of the most probable classes."""
        from tfxfer.tasks import calibration, outputs

        return calibration.expected_calibration_error(
            labels.numbers, probabilities, outputs.SOFTMAX
        )

    def check_teacher(self, source: str) -> None:
        """Accept any teacher."""

    def to_logits(self, probabilities: np.ndarray) -> np.ndarray:
        """Give logits, of which each item's are right except for a constant."""
        from tfxfer.tasks.outputs import SOFTMAX

        return SOFTMAX.to_logits(probabilities)

    def soften(
        self, labels: Any, logits: np.ndarray, *, temperature: float, weight: float
    ) -> ClassLabels:
        """Mix a teacher's softened probabilities with the labels."""
        from tfxfer.tasks.soft import soften

        return soften(labels, logits, temperature=temperature, weight=weight)
