"""What a run will need, before it starts: seconds a phase and memory a batch."""

from __future__ import annotations

import math
import time
from itertools import islice

import keras

from tfxfer.backbones.build import Backbone
from tfxfer.config import PhaseConfig
from tfxfer.heads import Head
from tfxfer.phases.fit import FitData, count_epochs, out_of_memory, prepare_phase
from tfxfer.phases.unfreeze import count_parameters
from tfxfer.records import PhasePlan

_TRIAL_STEPS = 4  # the first one compiles and is not counted
_FLOAT_BYTES = 4
# A step keeps the outputs of the layers that it trains; kernels fuse some of them away and need
# scratch space. Whole networks at 224 px took 0.40 (ResNet50), 0.44 (MobileNetV2), 0.75
# (EfficientNetV2B0) and 1.13 (VGG16) times the plain sum on a CPU.
_LEAST_SHARE, _COMFORTABLE_SHARE = 0.35, 1.5


def plan_phase(
    backbone: Backbone,
    head: Head,
    phase: PhaseConfig,
    data: FitData,
    validation_pictures: int,
    is_timed: bool = False,
) -> PhasePlan:
    """Say what a phase will do; with `is_timed`, run a few steps to estimate its seconds.

    Timed steps change the weights: only a dry run may ask for them.
    """
    model, unfrozen = prepare_phase(backbone, head, phase, data.steps_per_epoch)
    epochs = count_epochs(phase, data.steps_per_epoch)
    return PhasePlan(
        name=phase.name,
        unfrozen=tuple(block.name for block in unfrozen),
        trainable_parameters=count_parameters(model.trainable_weights),
        epochs=epochs,
        steps=epochs * data.steps_per_epoch,
        learning_rate=phase.learning_rate,
        seconds=_time_phase(model, epochs, data, validation_pictures) if is_timed else None,
    )


def check_memory(backbone: Backbone, unfrozen: int, batch_size: int, available_bytes: int) -> None:
    """Refuse a batch that cannot fit in memory, before the system ends the process over it.

    Args:
        unfrozen: number of unfrozen blocks.
        available_bytes: memory that the process can still take.

    Raises:
        InputError: with the largest power of two that fits with ease.
    """
    picture_bytes = _kept_bytes(backbone, unfrozen)
    if batch_size * picture_bytes * _LEAST_SHARE <= available_bytes:
        return
    fitting = max(1, int(available_bytes / (picture_bytes * _COMFORTABLE_SHARE)))
    raise out_of_memory(batch_size, 2 ** int(math.log2(fitting)))


def _kept_bytes(backbone: Backbone, unfrozen: int) -> int:
    """Bytes that one picture's forward pass keeps for the backward pass, or for its next layer."""
    first_kept = len(backbone.blocks) - unfrozen
    ends = [block.end for block in backbone.blocks]
    position = 0
    kept, largest_frozen = 0, 0
    for operation in backbone.network.operations:
        elements = sum(
            math.prod(side or 1 for side in tensor.shape[1:])
            for tensor in keras.tree.flatten(operation.output)
        )
        if position >= first_kept:
            kept += elements
        else:
            largest_frozen = max(largest_frozen, elements)
        if position < len(ends) and operation.name == ends[position]:
            position += 1
    return _FLOAT_BYTES * (kept + 2 * largest_frozen)


def _time_phase(model: keras.Model, epochs: int, data: FitData, validation_pictures: int) -> float:
    """Seconds that a phase takes if no early stopping ends it."""
    times = []
    start = time.monotonic()
    for pictures, labels in islice(data.training.repeat(), _TRIAL_STEPS):
        model.train_on_batch(pictures, labels)
        times.append(time.monotonic() - start)
        start = time.monotonic()
    step_seconds = sum(times[1:]) / len(times[1:])
    model.predict_on_batch(pictures)  # compiles
    start, seen = time.monotonic(), 0
    for pictures, _ in islice(data.validation, 2):
        model.predict_on_batch(pictures)
        seen += len(pictures)
    validation_seconds = (time.monotonic() - start) * validation_pictures / seen
    epoch_seconds = data.steps_per_epoch * step_seconds + validation_seconds
    return times[0] + epochs * epoch_seconds
