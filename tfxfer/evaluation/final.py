"""The final evaluation of a trained model: calibration on validation, then metrics on test."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from tfxfer.backbones.whole import fold_temperature
from tfxfer.data.items import ItemData, ItemSet
from tfxfer.data.pipeline import make_view_batches
from tfxfer.machine.compiled import Call, predict
from tfxfer.machine.processes import Share
from tfxfer.modality import InputSpec, Modality
from tfxfer.records.evaluations import Calibration, Evaluation

# Training may use batches that are too large for the whole network, so this size is fixed.
_BATCH = 32


@dataclass(frozen=True)
class Calibrated:
    """The probabilities of the validation items, before and after a model's calibration.

    Attributes:
        temperature: The temperature by which the model's last layer was divided; None if the model
            was not calibrated.
        before, after: ``[items, classes]`` float32, in the order of the labels.
    """

    temperature: float | None
    before: np.ndarray
    after: np.ndarray


def calibrate(
    model: keras.Model, items: ItemData, probabilities: np.ndarray, calibrates: bool = True
) -> Calibrated:
    """Fold the temperature that fits the validation items best into a model's last layer.

    Args:
        model: A model from items to probabilities.
        items: The items of all splits; the test split is not read.
        probabilities: The model's probabilities of all validation items ``[items, classes]``.
        calibrates: Whether the model is calibrated; otherwise it is not changed.
    """
    if not calibrates:
        return Calibrated(None, probabilities, probabilities)
    temperature = items.task.fit_temperature(items.validation.labels, probabilities)
    fold_temperature(model, temperature)
    after = items.task.apply_temperature(probabilities, temperature)
    return Calibrated(temperature, probabilities, after)


def judge(
    call: Call, spec: InputSpec, items: ItemData, calibrated: Calibrated, *, share: Share
) -> tuple[Evaluation, Evaluation, Calibration | None]:
    """Evaluate a model on validation and, for the first time, on test.

    Args:
        call: The calibrated model, as a function of batches.
        spec: What the model takes of an item.
        items: The items of all splits.
        calibrated: The model's probabilities of the validation items.
        share: The part of the run that this process does; the metrics are those of all items.

    Returns:
        The metrics on validation and test, and the calibration errors.
    """
    task, labels = items.task, (items.validation.labels, items.test.labels)
    tested = predict_items(call, spec, items.test, share=share, modality=items.modality)
    validation = task.evaluate("validation", labels[0], calibrated.after, items.classes)
    test = task.evaluate("test", labels[1], tested, items.classes)
    if calibrated.temperature is None:
        return validation, test, None
    error, temperature = task.calibration_error, calibrated.temperature
    before = task.apply_temperature(tested, 1 / temperature)
    calibration = Calibration(
        temperature,
        (error(labels[0], calibrated.before), error(labels[0], calibrated.after)),
        (error(labels[1], before), error(labels[1], tested)),
    )
    return validation, test, calibration


def predict_items(
    call: Call, spec: InputSpec, items: ItemSet, *, share: Share, modality: Modality
) -> np.ndarray:
    """Return a model's probabilities of all items, ``[items, classes]`` float32.

    Args:
        call: The model, as a function of batches.
        spec: What the model takes of an item.
        items: The items of a split.
        share: The part of the run that this process does: it predicts its part of the items.
        modality: The kind of the items.
    """
    view = modality.plain_view(spec)
    batches = make_view_batches(share.part_of(items), view, batch_size=_BATCH)
    return share.gather(predict(call, batches))
