"""What comes out of a model: the protocols that a task follows. Imports no TensorFlow.

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
    """The labels of some items, in their order. What they look like, their task alone knows."""

    def __len__(self) -> int: ...

    @property
    def rows(self) -> np.ndarray:
        """What a model is to learn of each item, ``[items, …]``, as batches carry it."""

    @property
    def unit(self) -> str:
        """What `count` counts, for people: ``"pictures"``, or ``"labels"``."""

    def to_targets(self, rows: tf.Tensor, class_count: int) -> tf.Tensor:
        """Turn one of `rows`, or a batch of them, into float32 targets of the loss."""

    def choose(self, indices: np.ndarray) -> Self:
        """Keep the labels at these positions."""

    def change(self, change: Callable[[np.ndarray], np.ndarray]) -> Self:
        """Change the arrays that these labels stand in, such as gather those of all processes."""

    def join(self, others: Sequence[Self]) -> Self:
        """Put the labels of other items behind these."""

    def count(self, class_count: int) -> np.ndarray:
        """Count the items of each class, ``[classes]`` int64."""

    def strata(self) -> np.ndarray:
        """Give the class by which each item is dealt out evenly, ``[items]`` int64."""

    def list_numbers(self) -> list[tuple[int, ...]]:
        """List the class numbers of each item."""

    def demand_single(self, option: str, value: object) -> np.ndarray:
        """Give the one class number of each item, ``[items]`` int64, for an option that needs it.

        Raises:
            InputError: items may have several labels, or none.
        """

    def rename(self, numbers: np.ndarray, class_count: int) -> tuple[Self, np.ndarray]:
        """Turn these labels into those of a model that counts its classes in another way.

        Args:
            numbers: the model's number of each class; a negative one leaves the class out.
            class_count: how many classes the model has.

        Returns:
            The labels, and which items stay, ``[items]`` bool.
        """

    def are_right(self, probabilities: np.ndarray) -> np.ndarray:
        """Say of which items a model gives all that is true and nothing else, ``[items]`` bool."""

    def agree(self, probabilities: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Say of which items two models say the same, ``[items]`` bool."""


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
        """Map pooled features ``[batch, channels]`` to what the model gives."""


class Table(Protocol):
    """Stored features of some items, which are read when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def read(self) -> np.ndarray:
        """Read all of them, ``[items, *shape]``."""


@dataclass(frozen=True)
class Solution:
    """A head that was fitted without gradient steps.

    Attributes:
        kernel: ``[channels, classes]`` float32, for features as they are.
        bias: ``[classes]`` float32.
        strength: the chosen inverse penalty.
        accuracy, cross_entropy: on validation.
        score: on validation, of the metric that the run is after.
        evenness: the chosen one, see `channel_scale` in `tasks/solver.py`.
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
        shape: of one item's.
        rows: how many are stored, each view by itself, those of validation too; 0: none are.
        is_pooled: whether the head reads them as they are, with nothing unfrozen between.
    """

    shape: tuple[int, ...]
    rows: int
    is_pooled: bool


class Objective(Protocol):
    """What training is after, the same in all phases of a run."""

    @property
    def keeps_last(self) -> bool:
        """Whether validation items are trained on, and choose nothing."""

    @property
    def chosen_by(self) -> str:
        """The metric on validation that chooses epochs and penalties, of `CRITERIA`."""

    @property
    def draws_evenly(self) -> bool:
        """Whether each class is as likely as any other to be drawn."""

    def score(self, labels: Labels, probabilities: np.ndarray) -> float:
        """Say how good probabilities ``[items, classes]`` are by `chosen_by`, in 0…1."""

    def measure(self, labels: Labels, probabilities: np.ndarray) -> dict[str, float]:
        """Give what is followed on validation: accuracy, cross-entropy and `chosen_by`."""

    def make_loss(self, label_smoothing: float) -> Callable[[Any, Any], Any]:
        """Make what gradient steps minimise, of targets and probabilities."""

    def make_metrics(self) -> list[keras.metrics.Metric]:
        """Make what is followed while a model trains: ``accuracy`` and ``cross_entropy``."""

    def check_solver(self, phase: ResolvedPhase, head: Head, given: Given) -> bool:
        """Say whether a phase's head is fitted without gradient steps.

        Raises:
            InputError: the phase asks for it, and it cannot.
        """

    def estimate_seconds(self, head: Head, given: Given) -> float:
        """Say how long `solve` will take, roughly."""

    def solve(
        self,
        tables: Sequence[Table],
        labels: tuple[Labels, Labels],
        phase: ResolvedPhase,
        *,
        share: Share,
    ) -> Solution:
        """Fit a head to stored features, as `check_solver` says that it can.

        Args:
            tables: features of the training items, one table a view, then those of validation.
            labels: of the training items, and of those of validation.
            share: of this process, whose items all of this is about; the fit is to all items.
        """


class Task(Protocol):
    """What comes out of a model: one row of `TASKS`."""

    @property
    def name(self) -> str: ...

    @property
    def compares_by_item(self) -> bool:
        """Whether two models can be compared by which items they are right on."""

    def read(self, rows: np.ndarray) -> Labels:
        """Read labels as a source has listed them."""

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
        """Say what training is after.

        Args:
            labels: of the training items.
            balance: `data.balance`.
            keeps_last: whether validation items are trained on.
            source: where the items come from, for people.

        Raises:
            InputError: classes cannot be balanced, since items have several labels.
        """

    def note_sizes(self, class_counts: Mapping[str, int], balance: str) -> list[str]:
        """Say what can be done where classes differ much in size."""

    def evaluate(
        self, split: str, labels: Labels, probabilities: np.ndarray, classes: Sequence[str]
    ) -> Evaluation:
        """Compare what was predicted of a split with its labels."""

    def find_intervals(
        self, labels: Labels, probabilities: np.ndarray
    ) -> dict[str, tuple[float, float]]:
        """Find 95 % bootstrap intervals by the metric's name in `Evaluation`."""

    def list_figures(
        self, labels: Labels, probabilities: np.ndarray, classes: Sequence[str]
    ) -> tuple[ClassFigures, ...]:
        """List how a model does on each class that occurs, in the order of the classes."""

    def list_results(
        self,
        places: Sequence[str],
        labels: Labels,
        probabilities: np.ndarray,
        classes: Sequence[str],
    ) -> Iterator[ItemResult]:
        """List what a model says of each item, which lies at one of the places."""

    def note_mismatches(
        self, labels: Labels, probabilities: np.ndarray, classes: Sequence[str]
    ) -> list[str]:
        """Say what the user should know where a model and the items are of different kinds."""

    def fit_temperature(self, labels: Labels, probabilities: np.ndarray) -> float:
        """Find the temperature with the lowest cross-entropy on items not trained on."""

    def apply_temperature(self, probabilities: np.ndarray, temperature: float) -> np.ndarray:
        """Give what probabilities become when all logits are divided by a temperature."""

    def calibration_error(self, labels: Labels, probabilities: np.ndarray) -> float:
        """Give the mean gap between how sure a model is and how often it is right, 0…1."""

    def check_teacher(self, source: str) -> None:
        """Refuse to learn from another model's probabilities where that makes no sense.

        Raises:
            InputError: it does not; `source` says where the items come from.
        """

    def to_logits(self, probabilities: np.ndarray) -> np.ndarray:
        """Give logits of probabilities, float64."""

    def soften(
        self, labels: Labels, logits: np.ndarray, *, temperature: float, weight: float
    ) -> Labels:
        """Mix what a teacher says of items, at a temperature and with a weight, with labels."""


Tasks = Mapping[str, Task]
