"""The results of a run, or of one run for each fold. This module imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev

from tfxfer.records.evaluations import Calibration, Evaluation
from tfxfer.records.exports import Exported
from tfxfer.records.plans import BadFile, Plan

# The validation metrics by which epochs and penalties are chosen, and their names for people.
CRITERIA = {
    "accuracy": "accuracy",
    "macro_recall": "macro recall",
    "mean_average_precision": "mAP",
}


@dataclass(frozen=True)
class PhaseResult:
    """What a phase did.

    Attributes:
        name, unfrozen, trainable_parameters: The same as in `PhasePlan`.
        cut: The name of the last frozen block; ``"pooled"`` if all blocks are frozen,
            ``"pictures"`` if none is.
        views: The number of stored views of each training item; 0 if nothing was stored.
        solver: What fitted the weights: ``"logistic"``, which has no epochs, or ``"adamw"``.
        precision: The arithmetic of the unfrozen blocks.
        epochs: The number of epochs that were trained.
        history: One value an epoch for each metric (``loss``, ``accuracy``, ``val_accuracy``, …).
        has_improved: Whether the phase's weights were kept. If they were no better on validation
            than those from before the phase, the earlier weights are restored.
        best_epoch: The epoch, from 1, whose weights were kept; 0 if none was kept, or if the
            weights were fitted without epochs.
        val_accuracy, val_cross_entropy: Metrics on validation, as in `Evaluation`.
        chosen_by: The validation metric by which the weights were chosen, a key of `CRITERIA`.
            Its value is ``val_<name>``. The others of these metrics are None, except the accuracy.
        inverse_penalty, evenness: The settings that were chosen for a head fitted by logistic
            regression; None for other heads.
        seconds: The wall time. Of it, `input_seconds` were spent waiting for items or stored
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
        """The value, 0…1, of the metric by which the weights were chosen."""
        return getattr(self, f"val_{self.chosen_by}")

    @property
    def bottleneck(self) -> str:
        """The part that took most of the time: ``input``, ``prefix`` or ``suffix``."""
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
        path: The run folder.
        classes: The class names in the order of the model's outputs.
        plan: What the run was going to do.
        phases: The result of each phase, in order.
        validation, test: Metrics of the final model; the test split was read once, at the end.
        exported: The exported model.
        total_parameters: The number of the model's parameters, its head included.
        engine: The engine that computed the features, in this run or when they were stored; None
            if no layer was frozen.
        engine_error: The relative difference of its training features from Keras's on a few items;
            None if it is not known. Validation and test are computed as the model is served.
        seed: The seed of all random numbers.
        seconds: The wall time of the whole run.
        stages: The seconds of its other stages than the phases, by name, in this process.
        versions: The versions of Python and of the packages that decide the result.
        device: The device that the run used.
        quarantined: The items that were left out.
        calibration: The calibration errors; None if ``calibrate`` is off, or if the model was
            trained on the validation items.
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
    stages: dict[str, float] = field(default_factory=dict)
    engine_error: float | None = None


@dataclass(frozen=True)
class FoldResult:
    """The figures of one fold, on the items that it held out.

    Attributes:
        fold: The number of the fold, from 1.
        path: Its run folder.
        pictures: The number of items that were held out.
        accuracy, macro_f1: Metrics on these items, 0…1.
        seconds: The wall time of its run.
    """

    fold: int
    path: Path
    pictures: int
    accuracy: float
    macro_f1: float
    seconds: float


@dataclass(frozen=True)
class FoldsResult:
    """What `tfxfer.train` returns where ``data.split.folds`` is set; fractions in 0…1.

    Attributes:
        path: The folder with a run folder for each fold.
        split: The split that each fold holds out: ``"test"``, or ``"validation"`` if the source
            has a test split of its own. Validation figures are too good, because validation items
            chose the epochs.
        folds: The figures of each fold.
        pooled_accuracy: The accuracy over all items, each predicted by the model that was not
            trained on it.
        pooled_interval: The 95 % Wilson interval of the pooled accuracy.
    """

    path: Path
    split: str
    folds: tuple[FoldResult, ...]
    pooled_accuracy: float
    pooled_interval: tuple[float, float]

    @property
    def accuracy_mean(self) -> float:
        """The mean accuracy over the folds."""
        return mean(fold.accuracy for fold in self.folds)

    @property
    def accuracy_sd(self) -> float:
        """The sample standard deviation of the accuracy between folds (divisor: folds - 1)."""
        return stdev(fold.accuracy for fold in self.folds)

    @property
    def macro_f1_mean(self) -> float:
        """The mean macro F1 score over the folds."""
        return mean(fold.macro_f1 for fold in self.folds)

    @property
    def macro_f1_sd(self) -> float:
        """The sample standard deviation of the macro F1 score between folds."""
        return stdev(fold.macro_f1 for fold in self.folds)

    @property
    def seconds(self) -> float:
        """The wall time of all folds together."""
        return sum(fold.seconds for fold in self.folds)
