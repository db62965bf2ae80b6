"""How good and how sure a model is on some pictures. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from tfxfer.records.plans import BadFile


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
