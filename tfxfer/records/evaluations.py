"""How good and how sure a model is on some items. This module imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from tfxfer.records.plans import BadFile


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a model on one split, fractions in 0…1.

    Where items have several labels, the model gives an item each label whose probability is at
    least 0.5.

    Attributes:
        split: The name of the split.
        pictures: The number of its items.
        accuracy: The share of the items that are right: the most probable class is the true one.
            With several labels, exactly the true labels have to be given (subset accuracy).
        accuracy_interval: The 95 % Wilson interval of the accuracy.
        macro_f1: The mean of the F1 score over the classes that the split has items of.
        top5_accuracy: The share of the items whose true class is among the five most probable
            ones; None if there are 20 classes or fewer, or several labels an item.
        cross_entropy: The mean negative log-probability of the true class, in nats. With several
            labels, it is the mean of the binary cross-entropy over items and labels.
        per_class_f1: The F1 score by the name of each class that the split has items of.
        confusion: The numbers of the true and of the predicted class, and the number of such
            items, where there are any, in ascending order; None if items have several labels.
        macro_recall: The mean of the recall over the classes that the split has items of, also
            known as balanced accuracy.
        mean_average_precision: The mean of the average precision over the same classes (mAP);
            None if items have one label.
        micro_f1: The F1 score of all labels of all items together; None if items have one label,
            because it would be the accuracy.
    """

    split: str
    pictures: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_f1: float
    top5_accuracy: float | None
    cross_entropy: float
    per_class_f1: dict[str, float]
    confusion: tuple[tuple[int, int, int], ...] | None
    macro_recall: float
    mean_average_precision: float | None = None
    micro_f1: float | None = None


@dataclass(frozen=True)
class Calibration:
    """How much a model's probabilities can be believed, before and after calibration.

    Attributes:
        temperature: The number that the logits were divided by, fitted on validation.
        validation, test: The expected calibration error before and after, 0…1. On validation, the
            error after is too low, because the temperature was chosen there.
    """

    temperature: float
    validation: tuple[float, float]
    test: tuple[float, float]


@dataclass(frozen=True)
class ClassFigures:
    """How a model does on one class; fractions in 0…1.

    Attributes:
        name: The name of the class.
        pictures: The number of items that are of the class.
        predicted: The number of items that the model takes for the class.
        right: The number of items that are of the class and that the model takes for it.
        f1: The F1 score.
        recall, recall_interval: `right` as a share of `pictures`, and its 95 % Wilson interval.
        precision, precision_interval: `right` as a share of `predicted`, and its 95 % Wilson
            interval; None if the model takes no item for the class.
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
        model, data: What was evaluated and on which data, in words for people.
        classes: The class names in the order of the model's outputs.
        evaluation: The metrics; means are taken over the classes that the data has items of.
        intervals: 95 % bootstrap intervals by the metric's name in `evaluation`.
        per_class: The figures of the classes that the data has items of, in the model's order.
        expected_calibration_error: The mean gap between probabilities and the shares of items
            that are right.
        left_out: The items that could not be read.
        notes: What the user should know.
        versions: The versions of Python and of the packages that decide the result.
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
class ItemResult:
    """What a model says about one item.

    Attributes:
        path: The path of its file, or the place of its example in a larger file.
        true: The names of its classes: one, unless items have several labels.
        predicted: The names of the classes that the model gives it.
        probability: The probability of the most probable class.
        is_right: Whether `predicted` equals `true`.
    """

    path: str
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    probability: float
    is_right: bool
