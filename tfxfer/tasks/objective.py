"""The objectives of training: the loss that it minimises, and the metric that chooses epochs.

Each objective takes the labels of its own task, which type checkers need not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tfxfer.config.phases import ResolvedPhase
from tfxfer.errors import InputError
from tfxfer.machine.processes import Share
from tfxfer.task import Given, Head, Solution, Table
from tfxfer.tasks import losses, solver
from tfxfer.tasks.labels import ClassLabels
from tfxfer.tasks.metrics import (
    accuracy,
    class_cross_entropy,
    macro_recall,
    mean_average_precision,
    several_cross_entropy,
)

# A function from labels and probabilities to a score in 0…1, by its name in `CRITERIA`.
CLASS_SCORES: dict[str, Callable[[ClassLabels, np.ndarray], float]] = {
    "accuracy": accuracy,
    "macro_recall": macro_recall,
}


@dataclass(frozen=True)
class ClassObjective:
    """The objective of training if each item has one label.

    Attributes:
        balance: The value of `data.balance`.
        counts: The number of training items of each class, which only balancing reads.
        keeps_last: Whether validation items are trained on, so that they choose nothing.
    """

    balance: str = "none"
    counts: tuple[int, ...] = ()
    keeps_last: bool = False

    @property
    def chosen_by(self) -> str:
        """The accuracy, or the macro recall if classes are balanced."""
        return "accuracy" if self.balance == "none" else "macro_recall"

    @property
    def draws_evenly(self) -> bool:
        """Whether all classes are drawn equally often."""
        return self.balance == "sampling"

    def score(self, labels: Any, probabilities: np.ndarray) -> float:
        """Return the value of `chosen_by` for probabilities ``[items, classes]``, in 0…1."""
        return CLASS_SCORES[self.chosen_by](labels, probabilities)

    def measure(self, labels: Any, probabilities: np.ndarray) -> dict[str, float]:
        """Return the metrics on validation."""
        return {
            "accuracy": accuracy(labels, probabilities),
            "cross_entropy": class_cross_entropy(labels, probabilities),
            self.chosen_by: self.score(labels, probabilities),
        }

    def make_loss(self, label_smoothing: float) -> Callable[[Any, Any], Any]:
        """Make the cross-entropy, with the way in which classes are balanced."""
        return losses.make_class_loss(self.balance, self.counts, label_smoothing)

    def make_metrics(self) -> list[keras.metrics.Metric]:
        """Make the metrics of a model that trains."""
        return losses.make_class_metrics()

    def check_solver(self, phase: ResolvedPhase, head: Head, given: Given) -> bool:
        """Say whether logistic regression fits the phase's head.

        Raises:
            InputError: The phase asks for it, but it is impossible.
        """
        return solver.check_solver(phase, head, given, keeps_last=self.keeps_last)

    def estimate_seconds(self, head: Head, given: Given) -> float:
        """Return roughly how many seconds logistic regression will take."""
        return solver.estimate_seconds(head, given.rows, given.shape[0])

    def solve(
        self,
        tables: Sequence[Table],
        labels: tuple[Any, Any],
        phase: ResolvedPhase,
        *,
        share: Share,
    ) -> Solution:
        """Fit the head by logistic regression; see `solver.solve_head`."""
        fit = solver.Fit(self.balance, self.counts, self.score)
        return solver.solve_head(
            tables,
            labels,
            fit=fit,
            inverse_penalty=phase.inverse_penalty,
            evenness=phase.evenness,
            share=share,
        )


@dataclass(frozen=True)
class SeveralObjective:
    """The objective of training if items may have several labels, or none.

    Attributes:
        keeps_last: Whether validation items are trained on, so that they choose nothing.
    """

    keeps_last: bool = False

    chosen_by = "mean_average_precision"
    draws_evenly = False

    def score(self, labels: Any, probabilities: np.ndarray) -> float:
        """Return the mean average precision."""
        return mean_average_precision(labels, probabilities)

    def measure(self, labels: Any, probabilities: np.ndarray) -> dict[str, float]:
        """Return the metrics on validation."""
        return {
            "accuracy": accuracy(labels, probabilities),
            "cross_entropy": several_cross_entropy(labels, probabilities),
            self.chosen_by: self.score(labels, probabilities),
        }

    def make_loss(self, label_smoothing: float) -> Callable[[Any, Any], Any]:
        """Make the binary cross-entropy of each label."""
        return losses.make_several_loss(label_smoothing)

    def make_metrics(self) -> list[keras.metrics.Metric]:
        """Make the metrics of a model that trains."""
        return losses.make_several_metrics()

    def check_solver(self, phase: ResolvedPhase, head: Head, given: Given) -> bool:
        """Return False, because gradient steps fit the head.

        Raises:
            InputError: The phase asks for logistic regression.
        """
        if phase.solver == "logistic":
            raise InputError(
                "solver='logistic' fits one label a picture: its probabilities sum to 1. Received: "
                f"phase {phase.name!r} and pictures that may have several labels. "
                "Take solver='auto', which trains such a head by gradient steps."
            )
        return False

    def estimate_seconds(self, head: Head, given: Given) -> float:
        """Return 0, because nothing is fitted without gradient steps."""
        return 0.0

    def solve(
        self,
        tables: Sequence[Table],
        labels: tuple[Any, Any],
        phase: ResolvedPhase,
        *,
        share: Share,
    ) -> Solution:
        """Refuse to fit a head, which `check_solver` does not allow."""
        raise NotImplementedError("Several labels are fitted by gradient steps alone.")
