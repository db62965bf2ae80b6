"""The final evaluation of a trained model: calibration on validation, then metrics on test."""

from __future__ import annotations

import keras
import numpy as np

from tfxfer.backbones.whole import fold_temperature
from tfxfer.data.items import ItemData, ItemSet
from tfxfer.data.pipeline import make_view_batches
from tfxfer.machine.compiled import Call, compile_model, predict
from tfxfer.machine.processes import Share
from tfxfer.modality import InputSpec, View
from tfxfer.records.evaluations import Calibration, Evaluation

# Training may use batches that are too large for the whole network, so this size is fixed.
_BATCH = 32


def judge(
    model: keras.Model, items: ItemData, calibrates: bool, *, share: Share
) -> tuple[Evaluation, Evaluation, Calibration | None]:
    """Calibrate a model on validation, and evaluate it on validation and test.

    Args:
        model: A model from items to probabilities; its last layer gets the temperature.
        items: The items of all splits.
        calibrates: Whether the model is calibrated; otherwise it is not changed.
        share: The part of the run that this process does; the metrics are those of all items.

    Returns:
        The metrics on validation and test, and the calibration errors.
    """
    task, labels = items.task, items.validation.labels
    call = compile_model(model)
    view = items.modality.plain_view(InputSpec.of(model))
    given = _predict(call, view, items.validation, share)
    temperature, sure = 1.0, given
    if calibrates:
        temperature = task.fit_temperature(labels, given)
        fold_temperature(model, temperature)
        sure = task.apply_temperature(given, temperature)
    tested = _predict(call, view, items.test, share)
    validation = task.evaluate("validation", labels, sure, items.classes)
    test = task.evaluate("test", items.test.labels, tested, items.classes)
    if not calibrates:
        return validation, test, None
    error = task.calibration_error
    before = task.apply_temperature(tested, 1 / temperature)
    calibration = Calibration(
        temperature,
        (error(labels, given), error(labels, sure)),
        (error(items.test.labels, before), error(items.test.labels, tested)),
    )
    return validation, test, calibration


def _predict(call: Call, view: View, items: ItemSet, share: Share) -> np.ndarray:
    batches = make_view_batches(share.part_of(items), view, batch_size=_BATCH)
    return share.gather(predict(call, batches))
