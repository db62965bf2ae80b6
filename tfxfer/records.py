"""What a run finds out, as frozen dataclasses. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, ClassVar

# What epochs and penalties are chosen by, on validation, and what people call it.
CRITERIA = {
    "accuracy": "accuracy",
    "macro_recall": "macro recall",
    "mean_average_precision": "mAP",
}


@dataclass(frozen=True)
class BadFile:
    """A file, record or example that cannot be used as a picture, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class PhasePlan:
    """What a phase is going to do.

    Attributes:
        name: the phase's name.
        unfrozen: names of the unfrozen blocks, from input to output.
        trainable_parameters: elements of the outer model's trainable weights.
        epochs, steps: upper bounds; early stopping may end sooner.
        learning_rate: peak rate.
        cut: as in `PhaseResult`.
        views: stored views of each training picture; 0: the frozen layers run in every epoch.
        solver: as in `PhaseResult`.
        stored_bytes: disk space that its features take.
        seconds: estimate from a timed trial; None where no trial was run.
    """

    name: str
    unfrozen: tuple[str, ...]
    trainable_parameters: int
    epochs: int
    steps: int
    learning_rate: float
    cut: str
    views: int
    solver: str
    stored_bytes: int
    seconds: float | None = None


@dataclass(frozen=True)
class Plan:
    """What a run is going to do; `--dry-run` prints it.

    Attributes:
        counts: pictures in each split.
        class_counts: training pictures of each class.
        blocks: name and parameters of each block, from input to output.
        notes: what the user should know before the run starts; in a result, of the run as well.
    """

    source: str
    counts: dict[str, int]
    class_counts: dict[str, int]
    backbone: str
    weights: str
    image_size_px: int
    parameters: int
    blocks: tuple[tuple[str, int], ...]
    phases: tuple[PhasePlan, ...]
    notes: tuple[str, ...]


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
class Evaluation:
    """Metrics of a model on one split, fractions in 0…1.

    Where pictures have several labels, a label counts as given from a probability of 0.5 on.

    Attributes:
        accuracy: share of the pictures that are wholly right: the most probable class is the true
            one; of several labels, each one that is true is given, and no other (subset accuracy).
        accuracy_interval: 95 % Wilson interval of the accuracy.
        macro_f1: mean of the F1 score over the classes that the split has pictures of.
        top5_accuracy: None where there are 20 classes or fewer, or several labels a picture.
        cross_entropy: mean negative log-probability of the true class, in nats; of several labels,
            the mean of the binary cross-entropy over pictures and labels.
        per_class_f1: F1 score by the name of each such class.
        confusion: row: true class, column: predicted class, in the order of the classes; None
            where pictures have several labels.
        macro_recall: mean of the recall over the classes that the split has pictures of, also
            known as balanced accuracy.
        mean_average_precision: mean over the same classes of the average precision (mAP); None
            where pictures have one label.
        micro_f1: F1 score of all labels of all pictures together; None where pictures have one
            label: it is the accuracy then.
    """

    split: str
    pictures: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_f1: float
    top5_accuracy: float | None
    cross_entropy: float
    per_class_f1: dict[str, float]
    confusion: tuple[tuple[int, ...], ...] | None
    macro_recall: float
    mean_average_precision: float | None = None
    micro_f1: float | None = None


@dataclass(frozen=True)
class Calibration:
    """How much a model's probabilities can be believed, before and after calibration.

    Attributes:
        temperature: what the logits were divided by, fitted on validation.
        validation, test: expected calibration error before and after, 0…1; of validation, whose
            pictures chose the temperature, the second one flatters.
    """

    temperature: float
    validation: tuple[float, float]
    test: tuple[float, float]


@dataclass(frozen=True)
class ClassFigures:
    """How a model does on one class; fractions in 0…1.

    Attributes:
        pictures: those that are of the class.
        predicted: those that the model takes for it.
        right: those that are and that it takes for it.
        recall, recall_interval: share of `pictures` that are right; 95 % Wilson interval.
        precision, precision_interval: share of `predicted` that are right; None: there is none.
    """

    name: str
    pictures: int
    predicted: int
    right: int
    f1: float
    recall: float
    recall_interval: tuple[float, float]
    precision: float | None
    precision_interval: tuple[float, float] | None


@dataclass(frozen=True)
class EvaluationReport:
    """What `tfxfer.evaluate` returns.

    Attributes:
        model, data: what was evaluated, and on what, for people.
        classes: class names in the order of the model's outputs.
        evaluation: the metrics; averages are over the classes that the pictures have.
        intervals: 95 % bootstrap intervals by the metric's name in `evaluation`.
        per_class: the classes that the pictures have, in the order of the model's.
        expected_calibration_error: mean gap between probabilities and shares that are right.
        left_out: pictures that could not be read.
        notes: what the user should know.
        versions: of Python and the packages that decide the result.
    """

    model: str
    data: str
    classes: tuple[str, ...]
    evaluation: Evaluation
    intervals: dict[str, tuple[float, float]]
    per_class: tuple[ClassFigures, ...]
    expected_calibration_error: float
    left_out: tuple[BadFile, ...]
    notes: tuple[str, ...]
    versions: dict[str, str]


@dataclass(frozen=True)
class PictureResult:
    """What a model says of one picture.

    Attributes:
        path: where it lies: a file's path, or which record or example it is.
        true: names of its classes; one, unless pictures have several labels.
        predicted: names of those that the model gives it.
        probability: of the most probable class.
        is_right: whether `predicted` is `true`.
    """

    path: str
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    probability: float
    is_right: bool


@dataclass(frozen=True)
class Exported:
    """An exported model and the largest difference of its probabilities from the trained one's."""

    path: Path
    pictures_compared: int
    max_difference: float


@dataclass(frozen=True)
class ExportedFormat:
    """A model in one format, compared with the trained one on validation pictures.

    Attributes:
        format: its name, such as ``"litert_int8"``.
        path: the file or folder; None where it was refused.
        refused: why it was not kept; empty where it was.
        size_bytes: of all that belongs to it.
        pictures: those that it was compared on.
        accuracy: share of them that are right, 0…1; `trained_accuracy` is the trained model's.
        agreement: share of them that get the same label as from the trained model.
        max_difference: largest difference of a probability from the trained model's.
        latency_ms: median time of one picture, decoded already, and of `BATCH` together.
    """

    format: str
    path: Path | None
    refused: str
    size_bytes: int = 0
    pictures: int = 0
    accuracy: float = 0.0
    trained_accuracy: float = 0.0
    agreement: float = 0.0
    max_difference: float = 0.0
    latency_ms: tuple[float, float] = (0.0, 0.0)

    BATCH: ClassVar[int] = 32


@dataclass(frozen=True)
class RunFigures:
    """What a run's model costs and is worth, beside another's.

    Attributes:
        name: such as ``"teacher"``.
        parameters: of the model, its head included.
        size_bytes: of its SavedModel.
        latency_ms: as of `ExportedFormat`.
        validation_accuracy, test_accuracy: of the run, 0…1.
    """

    name: str
    network: str
    parameters: int
    size_bytes: int
    latency_ms: tuple[float, float]
    validation_accuracy: float
    test_accuracy: float


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


@dataclass(frozen=True)
class Trial:
    """One config of a search and how good it is on validation; fractions in 0…1.

    Attributes:
        number: in the order of the proposals, from 1; 0: the preset's head alone.
        values: what was varied, by key; the depth under ``"unfreeze"``.
        status: ``"done"``, ``"failed"`` (`message` says why), or ``"open"``.
        continues: number of the trial whose epochs this one goes on from.
        unfrozen, blocks: blocks that its last phase unfreezes, of how many.
        epochs, planned_epochs: of its last phase, that were trained and of the config; early
            stopping and Hyperband end sooner. None are of a head alone.
        score: by the metric `chosen_by` of `CRITERIA`.
        pictures: on validation.
        interval: 95 % Wilson interval of the accuracy.
        right: a 1 for each validation picture that is right, else a 0; empty where pictures have
            several labels.
        inverse_penalty, evenness: of its head phase, as in `PhaseResult`.
        is_cut_short: Hyperband has stopped it, to go on with better ones.
        seconds: wall time.
        finished: when it was done, in seconds since 1970.
        worker: the process that ran it.
    """

    number: int
    values: dict[str, Any]
    status: str = "open"
    message: str = ""
    continues: int | None = None
    unfrozen: int = 0
    blocks: int = 0
    epochs: int = 0
    planned_epochs: int = 0
    trainable_parameters: int = 0
    score: float = 0.0
    chosen_by: str = "accuracy"
    accuracy: float = 0.0
    cross_entropy: float = 0.0
    pictures: int = 0
    interval: tuple[float, float] = (0.0, 1.0)
    right: str = ""
    is_cut_short: bool = False
    precision: str = "float32"
    inverse_penalty: float | None = None
    evenness: float | None = None
    seconds: float = 0.0
    finished: float = 0.0
    worker: str = ""


@dataclass(frozen=True)
class SearchResult:
    """What `tfxfer.tune` returns.

    Attributes:
        path: the folder of the search.
        objective: what was searched for, such as ``"val_accuracy"``.
        trials: best first; those that failed come last.
        verdict: what unfreezing gains, in a sentence.
        seconds: wall time of the trials, from the first to the last.
        is_complete: whether all trials were run; else the time was over.
        best: the run of the winner, whose test pictures were read once.
    """

    path: Path
    objective: str
    trials: tuple[Trial, ...]
    verdict: str
    seconds: float
    is_complete: bool
    best: RunResult

    @property
    def winner(self) -> Trial:
        """The trial with the best score; of equal ones, the cheapest."""
        return self.trials[0]
