"""The estimate of what a run needs: the seconds of a phase, and the memory of a batch."""

from __future__ import annotations

import math
import time

import keras

from tfxfer.backbones.backbone import Backbone
from tfxfer.config.phases import ResolvedPhase
from tfxfer.features.batches import Batching
from tfxfer.features.cut import Cut
from tfxfer.features.engines import BATCH
from tfxfer.features.feed import check_mixing, make_streamed_data
from tfxfer.features.plan import count_missing, has_room, item_bytes, views_of
from tfxfer.phases.fit import prepare_phase
from tfxfer.phases.memory import out_of_memory
from tfxfer.phases.precision import check_precision
from tfxfer.phases.unfreeze import count_parameters
from tfxfer.records.plans import PhasePlan
from tfxfer.tasks.solver import check_solver, estimate_seconds
from tfxfer.training.job import Job

_TRIAL_STEPS = 4
_FLOAT_BYTES = 4
# A step keeps the outputs of the layers that it trains; kernels fuse some of them away and need
# scratch space. Whole networks at 224 px took 0.40 (ResNet50), 0.44 (MobileNetV2), 0.75
# (EfficientNetV2B0) and 1.13 (VGG16) times the plain sum on a CPU.
_LEAST_SHARE, _COMFORTABLE_SHARE = 0.35, 1.5


def plan_phase(
    job: Job,
    phase: ResolvedPhase,
    *,
    views_at_hand: int = 0,
    has_changed: bool = False,
    is_timed: bool = False,
) -> PhasePlan:
    """Say what a phase will do; with `is_timed`, run a few batches to estimate its seconds.

    Timed steps change the weights, so only a dry run may use them.

    Args:
        views_at_hand: stored views of the training pictures that a phase before it makes.
        has_changed: whether a phase before it trains layers below its cut: nothing that is stored
            by now will do then.
    """
    pictures, objective = job.pictures, job.objective
    cut = job.features.network.cut_for(phase)
    check_mixing(phase, cut)
    check_precision(phase.precision)
    training, validation = len(pictures.train.labels), len(pictures.validation.labels)
    steps = phase.epochs * max(1, training // job.batch_size)
    model, unfrozen = prepare_phase(job.backbone, job.head, phase, cut, steps, objective)
    views, decoded = _count_decoded(
        job, phase, cut=cut, views_at_hand=views_at_hand, has_changed=has_changed
    )
    rows = views * training + validation
    stored = rows if views else 0
    item = item_bytes(job.features, pictures.train, cut) if stored else 0
    is_solved = check_solver(phase, job.head, cut, stored, objective)
    seconds = None
    if is_timed:
        picture_seconds, step_seconds, start_seconds = _time(job, phase, model=model, cut=cut)
        fit_seconds = steps * step_seconds
        if is_solved:
            fit_seconds = estimate_seconds(job.head, rows, cut.shape[0])
        seconds = start_seconds + decoded * picture_seconds + fit_seconds
    return PhasePlan(
        name=phase.name,
        unfrozen=tuple(block.name for block in unfrozen),
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


def _count_decoded(
    job: Job, phase: ResolvedPhase, *, cut: Cut, views_at_hand: int, has_changed: bool
) -> tuple[int, int]:
    """Return views of a training picture that are stored, and pictures that are decoded in all."""
    features, pictures = job.features, job.pictures
    training, validation = len(pictures.train.labels), len(pictures.validation.labels)
    views = views_of(phase, cut)
    prefixes = features.hash_prefixes([cut], phase.augmentation) if views else None
    wanted = {view: [cut] for view in range(views)}
    if prefixes is None or not has_room(features, pictures, wanted=wanted, prefixes=prefixes):
        return 0, (training + validation) * phase.epochs
    if has_changed:
        return views, views * training + validation
    left = {view: cuts for view, cuts in wanted.items() if view >= views_at_hand}
    decoded = count_missing(features, pictures.train, wanted=left, prefixes=prefixes)
    held_out = {0: [cut]}
    decoded += count_missing(features, pictures.validation, wanted=held_out, prefixes=prefixes)
    return views, decoded


def _time(
    job: Job, phase: ResolvedPhase, *, model: keras.Model, cut: Cut
) -> tuple[float, float, float]:
    """Return the seconds for a picture up to its features, for a step, and for the start."""
    begun = time.monotonic()
    data = make_streamed_data(
        job.features, job.pictures, phase=phase, cut=cut, batching=Batching(job.batch_size)
    )
    batches = data.make_training().repeat().as_numpy_iterator()
    examples, labels = next(batches)
    start = time.monotonic()
    # Batches are timed before the model is compiled, because they would be prepared meanwhile.
    for _ in range(_TRIAL_STEPS):
        next(batches)
    read = time.monotonic()
    model.train_on_batch(examples, labels)
    compiled = time.monotonic()
    for _ in range(_TRIAL_STEPS):
        model.train_on_batch(examples, labels)
    end = time.monotonic()
    picture_seconds = (read - start) / (_TRIAL_STEPS * len(labels))
    start_seconds = (start - begun) + (compiled - read)
    return picture_seconds, (end - compiled) / _TRIAL_STEPS, start_seconds


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
    kept, frozen = _picture_bytes(backbone, unfrozen)
    # Frozen layers have their own batch size.
    frozen_batch = min(batch_size, BATCH)
    if (batch_size * kept + frozen_batch * frozen) * _LEAST_SHARE <= available_bytes:
        return
    fitting = max(1, int(available_bytes / ((kept + frozen) * _COMFORTABLE_SHARE)))
    raise out_of_memory(batch_size, 2 ** int(math.log2(fitting)))


def _picture_bytes(backbone: Backbone, unfrozen: int) -> tuple[int, int]:
    """Return the bytes of a picture that the backward pass keeps, and that frozen layers use."""
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
