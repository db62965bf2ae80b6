"""The protocols of a task, which says what comes out of a model. This module imports no TensorFlow.

A task is a row of `TASKS` in `tfxfer/kinds.py`, and has a module of its own in `tfxfer/tasks/`. The
rooms that are the same for all tasks get the row, or something that it made, as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from tfxfer.config.head import HeadConfig
    from tfxfer.config.phases import ResolvedPhase
    from tfxfer.machine.processes import Share
    from tfxfer.records.evaluations import ClassFigures, Evaluation, ItemResult


class Labels(Protocol):
    """The labels of some items, in their order; only their task knows their form."""

    def __len__(self) -> int: ...

    @property
    def rows(self) -> np.ndarray:
        """The values that a model learns for each item, ``[items, …]``, as batches carry them."""

    @property
    def unit(self) -> str:
        """The word for what `count` counts: ``"pictures"`` or ``"labels"``."""

    def to_targets(self, rows: tf.Tensor, class_count: int) -> tf.Tensor:
        """Turn one of `rows`, or a batch of them, into float32 targets of the loss."""

    def choose(self, indices: np.ndarray) -> Self:
        """Keep the labels at these positions."""

    def change(self, change: Callable[[np.ndarray], np.ndarray]) -> Self:
        """Apply a function to the arrays of these labels, such as a join of all processes' rows."""

    def join(self, others: Sequence[Self]) -> Self:
        """Append the labels of other items to these."""

    def count(self, class_count: int) -> np.ndarray:
        """Count the items of each class, ``[classes]`` int64."""

    def strata(self) -> np.ndarray:
        """Return the class by which each item is stratified, ``[items]`` int64."""

    def list_numbers(self) -> list[tuple[int, ...]]:
        """List the class numbers of each item."""

    def demand_single(self, option: str, value: object) -> np.ndarray:
        """Return the class number of each item, ``[items]`` int64, for an option that needs one.

        Raises:
            InputError: Items may have several labels, or none.
        """

    def rename(self, numbers: np.ndarray, class_count: int) -> tuple[Self, np.ndarray]:
        """Turn these labels into those of a model that numbers its classes in another way.

        Args:
            numbers: The model's number of each class; a negative one leaves the class out.
            class_count: The number of the model's classes.

        Returns:
            The labels, and which items stay, ``[items]`` bool.
        """

    def are_right(self, probabilities: np.ndarray) -> np.ndarray:
        """Say which items are given exactly their true labels by a model, ``[items]`` bool."""

    def agree(self, probabilities: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Say which items are given the same labels by two models, ``[items]`` bool."""


class Head(Protocol):
    """The head of a model, as the code around the cut sees it.

    Attributes:
        poolings: The layers that turn a map into a vector. If nothing is unfrozen, they lie below
            the cut, so that their kinds decide which features are stored.
    """

    @property
    def poolings(self) -> tuple[keras.layers.Layer, ...]: ...

    @property
    def layers(self) -> tuple[keras.layers.Layer, ...]: ...

    def count_pooled(self, shape: tuple[Any, ...]) -> int:
        """Return the number of channels that `pool` gives for features of a shape with batch."""

    def pool(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """Map the backbone's features ``[batch, …]`` to vectors ``[batch, channels]``."""

    def classify(self, pooled: keras.KerasTensor) -> keras.KerasTensor:
        """Map pooled features ``[batch, channels]`` to the output of the model."""


class Table(Protocol):
    """Stored features of some items, which are read when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def read(self) -> np.ndarray:
        """Read the features of all items, ``[items, *shape]``."""


@dataclass(frozen=True)
class Solution:
    """A head that was fitted without gradient steps.

    Attributes:
        kernel: ``[channels, classes]`` float32, for features as they are stored.
        bias: ``[classes]`` float32.
        strength: The chosen inverse penalty.
        accuracy, cross_entropy: The metrics on validation.
        score: The value on validation of the metric that chooses.
        evenness: The chosen evenness; see `channel_scale` in `tasks/solver.py`.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    accuracy: float
    cross_entropy: float
    score: float
    evenness: float = 1.0


@dataclass(frozen=True)
class Given:
    """The features that a phase's head, or its unfrozen blocks, would be fitted on.

    Attributes:
        shape: The shape of one item's features.
        rows: The number of stored features, of each view of the training items and of the
            validation items; 0 if none are stored.
        is_pooled: Whether the head reads them as they are, without unfrozen blocks between.
    """

    shape: tuple[int, ...]
    rows: int
    is_pooled: bool


class Objective(Protocol):
    """The objective of training, which is the same in all phases of a run."""

    @property
    def keeps_last(self) -> bool:
        """Whether validation items are trained on, so that they choose nothing."""

    @property
    def chosen_by(self) -> str:
        """The validation metric that chooses epochs and penalties, a key of `CRITERIA`."""

    @property
    def draws_evenly(self) -> bool:
        """Whether all classes are drawn equally often."""

    def score(self, labels: Labels, probabilities: np.ndarray) -> float:
        """Return the value of `chosen_by` for probabilities ``[items, classes]``, in 0…1."""

    def measure(self, labels: Labels, probabilities: np.ndarray) -> dict[str, float]:
        """Return the metrics on validation: accuracy, cross-entropy and `chosen_by`."""

    def make_loss(self, label_smoothing: float) -> Callable[[Any, Any], Any]:
        """Make the loss of targets and probabilities that gradient steps minimise."""

    def make_metrics(self) -> list[keras.metrics.Metric]:
        """Make the metrics of a model that trains: ``accuracy`` and ``cross_entropy``."""

    def check_solver(self, phase: ResolvedPhase, head: Head, given: Given) -> bool:
        """Say whether a phase's head is fitted without gradient steps.

        Raises:
            InputError: The phase asks for it, but it is impossible.
        """

    def estimate_seconds(self, head: Head, given: Given) -> float:
        """Return roughly how many seconds `solve` will take."""

    def solve(
        self,
        tables: Sequence[Table],
        labels: tuple[Labels, Labels],
        phase: ResolvedPhase,
        *,
        share: Share,
    ) -> Solution:
        """Fit a head to stored features, if `check_solver` has said that this is possible.

        Args:
            tables: The features of the training items, one table a view, and then those of the
                validation items.
            labels: The labels of the training items and of the validation items.
            share: The part of the run that this process does. Tables and labels are those of its
                items, and the fit is to the items of all processes.
        """


class Task(Protocol):
    """A task, one row of `TASKS`, which says what comes out of a model."""

    @property
    def name(self) -> str: ...

    @property
    def compares_by_item(self) -> bool:
        """Whether two models can be compared by the items on which each of them is right."""

    def read(self, rows: np.ndarray) -> Labels:
        """Make labels of the rows that a source has listed."""

    def build_head(self, config: HeadConfig, class_count: int, *, seed: int) -> Head:
        """Make the head's layers, which compute in float32 whatever the precision policy."""

    def make_objective(
        self,
        labels: Labels,
        class_count: int,
        *,
        balance: str = "none",
        keeps_last: bool = False,
        source: str = "",
    ) -> Objective:
        """Make the objective of training.

        Args:
            labels: The labels of the training items.
            balance: The value of `data.balance`.
            keeps_last: Whether validation items are trained on.
            source: Where the items come from, for people.

        Raises:
            InputError: Classes cannot be balanced, because items may have several labels.
        """

    def note_sizes(self, class_counts: Mapping[str, int], balance: str) -> list[str]:
        """Say what can be done if classes differ much in size."""

    def evaluate(
        self, split: str, labels: Labels, probabilities: np.ndarray, classes: Sequence[str]
    ) -> Evaluation:
        """Compare the predictions for a split with its labels."""

    def find_intervals(
        self, labels: Labels, probabilities: np.ndarray
    ) -> dict[str, tuple[float, float]]:
        """Return 95 % bootstrap intervals, by the metrics' names in `Evaluation`."""

    def list_figures(
        self, labels: Labels, probabilities: np.ndarray, classes: Sequence[str]
    ) -> tuple[ClassFigures, ...]:
        """Return a model's figures on each class that occurs, in the order of the classes."""

    def list_results(
        self,
        places: Sequence[str],
        labels: Labels,
        probabilities: np.ndarray,
        classes: Sequence[str],
    ) -> Iterator[ItemResult]:
        """Yield a model's result on each item, which lies at one of the places."""

    def note_mismatches(
        self, labels: Labels, probabilities: np.ndarray, classes: Sequence[str]
    ) -> list[str]:
        """Say what the user should know if a model and the items are of different kinds."""

    def fit_temperature(self, labels: Labels, probabilities: np.ndarray) -> float:
        """Return the temperature with the lowest cross-entropy on items not trained on."""

    def apply_temperature(self, probabilities: np.ndarray, temperature: float) -> np.ndarray:
        """Return the probabilities that result when all logits are divided by a temperature."""

    def calibration_error(self, labels: Labels, probabilities: np.ndarray) -> float:
        """Return the mean gap between how sure a model is and how often it is right, 0…1."""

    def check_teacher(self, source: str) -> None:
        """Refuse to learn from another model's probabilities if the task cannot.

        Args:
            source: Where the items come from, for the error.

        Raises:
            InputError: The task cannot learn from them.
        """

    def to_logits(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the logits of probabilities, float64."""

    def soften(
        self, labels: Labels, logits: np.ndarray, *, temperature: float, weight: float
    ) -> Labels:
        """Mix a teacher's probabilities, at a temperature and with a weight, with the labels."""


Tasks = Mapping[str, Task]
