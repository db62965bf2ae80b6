"""The estimate of what a run needs: the seconds of a phase, and the memory of a batch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import NamedTuple

import keras

from tfxfer.backbones.backbone import Backbone
from tfxfer.features.batches import Batching
from tfxfer.features.engines import BATCH
from tfxfer.features.feed import check_mixing, make_streamed_data
from tfxfer.features.plan import count_missing, has_room, item_bytes, views_of
from tfxfer.phases.memory import out_of_memory
from tfxfer.phases.parts import PhaseParts
from tfxfer.phases.precision import check_precision
from tfxfer.phases.prepare import prepare_phase
from tfxfer.phases.unfreeze import count_parameters
from tfxfer.records.plans import PhasePlan
from tfxfer.training.job import Job

_TIMED_STEPS = 4
_FLOAT_BYTES = 4
# A step keeps the outputs of the layers that it trains; kernels fuse some of them away and need
# scratch space. Whole networks at 224 px took 0.40 (ResNet50), 0.44 (MobileNetV2), 0.75
# (EfficientNetV2B0) and 1.13 (VGG16) times the plain sum on a CPU.
_LEAST_SHARE, _COMFORTABLE_SHARE = 0.35, 1.5


@dataclass(frozen=True)
class Before:
    """The effects of earlier phases on the work of a phase.

    Attributes:
        views: The number of stored views of the training items that an earlier phase makes.
        has_changed: Whether an earlier phase trains layers below the phase's cut, so that none of
            the features that are stored by now can be used.
    """

    views: int = 0
    has_changed: bool = False


def plan_phase(
    job: Job, position: int, *, before: Before | None = None, is_timed: bool = False
) -> PhasePlan:
    """Return what a phase will do; with `is_timed`, run a few batches to estimate its seconds.

    Timed steps change the weights, so only a dry run may use them.

    Args:
        position: The position of the phase among the job's.
        before: The effects of earlier phases; None stands for no earlier phases.
    """
    items, phase = job.items, job.phases[position]
    before = before or Before()
    parts = job.parts(position, job.features.network.cut_for(phase))
    cut = parts.cut
    check_mixing(phase, cut)
    check_precision(phase.precision)
    training, validation = len(items.train.labels), len(items.validation.labels)
    steps = phase.epochs * max(1, training // job.batch_size)
    model = prepare_phase(parts, steps=steps)
    views, decoded = _count_decoded(job, parts, before)
    rows = views * training + validation
    stored = rows if views else 0
    is_solved = parts.is_solved(stored)
    item = item_bytes(job.features, items.train, cut) if stored else 0
    seconds = None
    if is_timed:
        times = _time(job, parts, model)
        fit_seconds = steps * times.step
        if is_solved:
            fit_seconds = parts.objective.estimate_seconds(job.head, parts.given(rows))
        seconds = times.start + decoded * times.item + fit_seconds
    return PhasePlan(
        name=phase.name,
        unfrozen=tuple(block.name for block in parts.unfrozen),
        trainable_parameters=count_parameters(model.trainable_weights),
        epochs=phase.epochs,
        steps=steps,
        learning_rate=phase.learning_rate,
        cut=cut.name,
        views=views,
        solver="logistic" if is_solved else "adamw",
        stored_bytes=math.ceil(stored * item),
        seconds=seconds,
    )


def _count_decoded(job: Job, parts: PhaseParts, before: Before) -> tuple[int, int]:
    """Return how many views of each training item are stored, and how many items are decoded."""
    features, items, phase, cut = job.features, job.items, parts.phase, parts.cut
    training, validation = len(items.train.labels), len(items.validation.labels)
    views = views_of(phase, cut)
    prefixes = features.hash_prefixes([cut], phase.augmentation) if views else None
    wanted = {view: [cut] for view in range(views)}
    if prefixes is None or not has_room(features, items, wanted=wanted, prefixes=prefixes):
        return 0, (training + validation) * phase.epochs
    if before.has_changed:
        return views, views * training + validation
    left = {view: cuts for view, cuts in wanted.items() if view >= before.views}
    decoded = count_missing(features, items.train, wanted=left, prefixes=prefixes)
    held_out = {0: [cut]}
    served = features.as_served()
    decoded += count_missing(served, items.validation, wanted=held_out, prefixes=prefixes)
    return views, decoded


class _Times(NamedTuple):
    """The seconds of an item on its way through the frozen layers, of a step, and of the start."""

    item: float
    step: float
    start: float


def _time(job: Job, parts: PhaseParts, model: keras.Model) -> _Times:
    """Run a few batches and steps, and return their times."""
    begun = time.monotonic()
    data = make_streamed_data(
        job.features,
        job.items,
        phase=parts.phase,
        cut=parts.cut,
        batching=Batching(job.batch_size),
    )
    batches = data.make_training().repeat().as_numpy_iterator()
    examples, labels = next(batches)
    start = time.monotonic()
    # Batches are timed before the model is compiled, because they would be prepared meanwhile.
    for _ in range(_TIMED_STEPS):
        next(batches)
    read = time.monotonic()
    model.train_on_batch(examples, labels)
    compiled = time.monotonic()
    for _ in range(_TIMED_STEPS):
        model.train_on_batch(examples, labels)
    end = time.monotonic()
    return _Times(
        item=(read - start) / (_TIMED_STEPS * len(labels)),
        step=(end - compiled) / _TIMED_STEPS,
        start=(start - begun) + (compiled - read),
    )


def check_memory(backbone: Backbone, unfrozen: int, batch_size: int, available_bytes: int) -> None:
    """Refuse a batch that cannot fit in memory, before the system kills the process.

    Args:
        backbone: The network.
        unfrozen: The number of unfrozen blocks.
        batch_size: The number of items in a batch.
        available_bytes: The memory that the process can still take.

    Raises:
        InputError: The batch does not fit; the error suggests a power of two that fits easily.
    """
    kept, frozen = _kept_bytes(backbone, unfrozen)
    # Frozen layers have their own batch size.
    frozen_batch = min(batch_size, BATCH)
    if (batch_size * kept + frozen_batch * frozen) * _LEAST_SHARE <= available_bytes:
        return
    fitting = max(1, int(available_bytes / ((kept + frozen) * _COMFORTABLE_SHARE)))
    raise out_of_memory(batch_size, 2 ** int(math.log2(fitting)))


def _kept_bytes(backbone: Backbone, unfrozen: int) -> tuple[int, int]:
    """Return the bytes of an item that the backward pass keeps, and that frozen layers use."""
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
    return _FLOAT_BYTES * kept, _FLOAT_BYTES * 2 * largest_frozen
