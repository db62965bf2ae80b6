"""What a run, or one for each fold, found out. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from tfxfer.records.evaluations import Calibration, Evaluation
from tfxfer.records.exports import Exported
from tfxfer.records.plans import BadFile, Plan

# What epochs and penalties are chosen by, on validation, and what people call it.
CRITERIA = {
    "accuracy": "accuracy",
    "macro_recall": "macro recall",
    "mean_average_precision": "mAP",
}


@dataclass(frozen=True)
class PhaseResult:
    """What a phase did.

    Attributes:
        cut: the last frozen block; ``"pooled"``: all are frozen, ``"pictures"``: none is.
        views: stored views of each training picture; 0: nothing was stored.
        solver: what fitted the weights: ``"logistic"`` (no epochs then) or ``"adamw"``.
        precision: arithmetic of the unfrozen blocks.
        history: a list an epoch for each metric (``loss``, ``accuracy``, ``val_accuracy``, …).
        has_improved: whether the phase's weights were kept; else those from before it are back,
            because none was better on validation.
        best_epoch: the epoch, from 1, whose weights were kept; 0: none, or fitted without epochs.
        val_accuracy, val_cross_entropy: on validation, as in `Evaluation`.
        chosen_by: the metric on validation by which the weights were chosen, of `CRITERIA`: its
            value is ``val_<name>``, and those of the others are None, but for the accuracy.
        inverse_penalty, evenness: of a head that logistic regression has fitted; None: of others.
        seconds: wall time, of which `input_seconds` were spent waiting for pictures or stored
            features and `prefix_seconds` waiting for the frozen layers.
    """

    name: str
    unfrozen: tuple[str, ...]
    cut: str
    views: int
    solver: str
    precision: str
    trainable_parameters: int
    epochs: int
    has_improved: bool
    best_epoch: int
    val_accuracy: float
    val_cross_entropy: float
    seconds: float
    history: dict[str, list[float]]
    input_seconds: float = 0.0
    prefix_seconds: float = 0.0
    chosen_by: str = "accuracy"
    inverse_penalty: float | None = None
    evenness: float | None = None
    val_macro_recall: float | None = None
    val_mean_average_precision: float | None = None

    @property
    def val_score(self) -> float:
        """Value of the metric by which the weights were chosen, in 0…1."""
        return getattr(self, f"val_{self.chosen_by}")

    @property
    def bottleneck(self) -> str:
        """What took the largest part of the time: ``input``, ``prefix`` or ``suffix``."""
        suffix_seconds = self.seconds - self.input_seconds - self.prefix_seconds
        parts = {
            "input": self.input_seconds,
            "prefix": self.prefix_seconds,
            "suffix": suffix_seconds,
        }
        return max(parts, key=parts.__getitem__)


@dataclass(frozen=True)
class RunResult:
    """What `tfxfer.train` returns.

    Attributes:
        path: the run folder.
        classes: class names in the order of the model's outputs.
        validation, test: metrics of the final model; the test split was read once, at the end.
        total_parameters: parameters of the model, its head included.
        engine: what gave the features, in this run or when they were stored; None where no layer
            was frozen.
        seconds: wall time of the whole run.
        versions: of Python and the packages that decide the result.
        device: what it ran on.
        quarantined: pictures that were left out.
        calibration: None where ``calibrate`` is off, or validation pictures were trained on.
    """

    path: Path
    classes: tuple[str, ...]
    plan: Plan
    phases: tuple[PhaseResult, ...]
    validation: Evaluation
    test: Evaluation
    exported: Exported
    total_parameters: int
    engine: str | None
    seed: int
    seconds: float
    versions: dict[str, str]
    device: str
    quarantined: tuple[BadFile, ...]
    calibration: Calibration | None = None


@dataclass(frozen=True)
class FoldResult:
    """Figures of one fold: of the pictures that it held out.

    Attributes:
        fold: its number, from 1.
        path: its run folder.
        pictures: those that were held out.
        seconds: wall time of its run.
    """

    fold: int
    path: Path
    pictures: int
    accuracy: float
    macro_f1: float
    seconds: float


@dataclass(frozen=True)
class FoldsResult:
    """What `tfxfer.train` returns where ``data.folds`` is set; fractions in 0…1.

    Attributes:
        path: the folder with a run folder for each fold.
        split: what the folds are: ``"test"``, or ``"validation"`` where the source has a test
            split of its own; validation pictures chose the epochs, so their figures flatter.
        pooled_accuracy: of all pictures, each predicted by the model that was not trained on it.
        pooled_interval: its 95 % Wilson interval.
    """

    path: Path
    split: str
    folds: tuple[FoldResult, ...]
    pooled_accuracy: float
    pooled_interval: tuple[float, float]

    @property
    def accuracy_mean(self) -> float:
        """Mean over the folds."""
        return mean(fold.accuracy for fold in self.folds)

    @property
    def accuracy_sd(self) -> float:
        """Standard deviation between the folds (of a sample: divided by folds - 1)."""
        return stdev(fold.accuracy for fold in self.folds)

    @property
    def macro_f1_mean(self) -> float:
        """Mean over the folds."""
        return mean(fold.macro_f1 for fold in self.folds)

    @property
    def macro_f1_sd(self) -> float:
        """Standard deviation between the folds (of a sample: divided by folds - 1)."""
        return stdev(fold.macro_f1 for fold in self.folds)

    @property
    def seconds(self) -> float:
        """Wall time of all folds together."""
        return sum(fold.seconds for fold in self.folds)
