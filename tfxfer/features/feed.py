"""The input of a phase: stored features, features as they are computed, or items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfxfer.config.phases import ResolvedPhase
from tfxfer.data.items import ItemData
from tfxfer.data.pipeline import make_training_dataset, make_view_batches, take_views
from tfxfer.errors import FULL, InputError
from tfxfer.features.batches import (
    Batching,
    Waiting,
    make_stored_training,
    make_streamed_dataset,
    read_stored,
    time_reading,
    time_waiting,
)
from tfxfer.features.compute import compute_tables
from tfxfer.features.cut import ITEMS, Cut
from tfxfer.features.engines import BATCH
from tfxfer.features.mixing import draw_seeds, mix_batches
from tfxfer.features.plan import Views, plan_views
from tfxfer.features.run import FeatureRun, Prefixes
from tfxfer.features.store.table import Table
from tfxfer.machine.processes import Share
from tfxfer.task import Labels


@dataclass(frozen=True)
class PhaseData:
    """The input of a phase. If several processes train together, it is this process's part.

    Attributes:
        cut: The cut where the frozen layers end, at which the features are taken.
        make_training: A function that returns batches of ``(features [batch, *cut.shape] float32,
            one-hot labels [batch, classes] float32)``, beginning with an epoch, by its number from
            0. Each call gives the same batches anew. Batches of stored features go on through all
            epochs without end. Others are those of one epoch, which each iterator draws anew; they
            always begin as in the first epoch.
        validation: A function that returns batches of the features of the validation items, as
            the served model computes them, in order.
        labels: The labels of the training and of the validation items.
        steps_per_epoch: The number of batches of an epoch, each of `batch_size` items; the rest
            is left out.
        share: The part of the run that this process does.
        views: The number of stored views of each training item; 0 if nothing is stored.
        tables: The stored training features of each view, and then those of the validation items;
            empty if nothing is stored.
        waiting: The time that the reader of the batches has waited for them.
    """

    cut: Cut
    make_training: Callable[..., tf.data.Dataset]
    validation: Callable[[], Iterator[np.ndarray]]
    labels: tuple[Labels, Labels]
    steps_per_epoch: int
    batch_size: int
    share: Share
    views: int = 0
    tables: tuple[Table, ...] = ()
    waiting: Waiting = field(default_factory=Waiting)


class Training(NamedTuple):
    """Training batches of examples as they are.

    Attributes:
        batches: The batches.
        seeds: A seed for each batch, by which its examples are mixed.
        length: The number of batches.
    """

    batches: tf.data.Dataset
    seeds: tf.data.Dataset
    length: int


def check_mixing(phase: ResolvedPhase, cut: Cut) -> None:
    """Refuse CutMix on features that are no map, and MixUp on features of different lengths.

    Raises:
        InputError: The phase asks for it; the error says what to take instead.
    """
    if phase.mixup and cut.is_ragged:
        raise InputError(
            "mixup blends features of one length, and needs a cut behind which all have it. "
            f"Received: mixup={phase.mixup:g} in phase {phase.name!r}, whose features behind "
            f"{cut.name} have the shape {cut.shape}. Take mixup=0 in this phase."
        )
    if phase.cutmix and not cut.is_spatial:
        raise InputError(
            "cutmix pastes rectangles and needs features that are one map. Received: "
            f"cutmix={phase.cutmix:g} in phase {phase.name!r}, whose features behind "
            f"{cut.name} have the shape {cut.shape}. Take mixup instead."
        )


def make_phase_data(
    run: FeatureRun,
    items: ItemData,
    *,
    phases: Sequence[ResolvedPhase],
    batching: Batching,
    also: Sequence[Cut] = (),
) -> PhaseData:
    """Compute or look up the input of the first of some phases.

    Features of the same views that a later phase needs are stored in the same pass, if no phase
    before it trains a layer below its cut.

    Args:
        items: The items that this process reads.
        phases: The phase, and the phases that follow.
        also: Cuts whose features other runs will ask for; the same pass stores them too, if there
            is room.

    Raises:
        InputError: The phase mixes examples in a way that does not suit the shape of its features,
            or the features do not stay in the store.
    """
    phase, cuts = phases[0], [run.network.cut_for(each) for each in phases]
    check_mixing(phase, cuts[0])
    frozen = (cut for cut in (*cuts, *also) if cut.name != ITEMS)
    prefixes = run.hash_prefixes(frozen, phase.augmentation)
    wanted = plan_views(run, items, phases=phases, cuts=cuts, prefixes=prefixes, also=also)
    if run.share.agree(bool(wanted)):
        try:
            return make_stored_data(
                run, items, phase=phase, wanted=wanted, batching=batching, prefixes=prefixes
            )
        except OSError as error:
            if error.errno not in FULL:
                raise
            if run.share.count > 1:
                raise InputError(
                    "All processes of a run store their features, or none does. Received: a full "
                    f"disk at {str(run.store.folder)!r}. Make room (tfxfer cache --clear), or take "
                    "--set features.max_disk_gb=0, and start all of them again."
                ) from error
            run.recorder.say(
                f"phase {phase.name!r}: the disk of {str(run.store.folder)!r} is full; the frozen "
                "layers run in every epoch instead (tfxfer cache --clear makes room)"
            )
    return make_streamed_data(run, items, phase=phase, cut=cuts[0], batching=batching)


def make_stored_data(
    run: FeatureRun,
    items: ItemData,
    *,
    phase: ResolvedPhase,
    wanted: Views,
    batching: Batching,
    prefixes: Prefixes,
) -> PhaseData:
    """Store the missing features of some views, and return the input of a phase.

    Args:
        wanted: The cuts to store of each view; the phase's own is the first.
        prefixes: The layers below all these cuts.
    """
    train, validation, cut = items.train, items.validation, wanted[0][0]
    found = compute_tables(run, train, wanted=wanted, split="training", prefixes=prefixes)
    views = [found[view, cut] for view in wanted]
    kept = compute_tables(
        run.as_served(), validation, wanted={0: wanted[0]}, split="validation", prefixes=prefixes
    )[0, cut]
    classes, steps = len(items.classes), batching.count_steps(len(train.labels))

    def make_training(first_epoch: int) -> Training:
        batches = make_stored_training(
            views,
            train.labels,
            classes=classes,
            batching=batching,
            seed=run.seed,
            first_epoch=first_epoch,
        )
        seeds = draw_seeds(run.seed, steps, first_epoch)
        return Training(batches, seeds, tf.data.INFINITE_CARDINALITY)

    return _join(
        run,
        items,
        phase=phase,
        cut=cut,
        batching=batching,
        make_training=make_training,
        validation=partial(read_stored, kept, batch_size=batching.size),
        tables=(*views, kept),
    )


def make_streamed_data(
    run: FeatureRun, items: ItemData, *, phase: ResolvedPhase, cut: Cut, batching: Batching
) -> PhaseData:
    """Return the input of a phase without storing it: features as they are computed, or items.

    Args:
        cut: The cut of the phase.
    """
    train, validation, size = items.train, items.validation, batching.size
    classes, spec = len(items.classes), run.network.backbone.input
    changed = run.modality.augmented_view(spec, run.augmentation.under(phase.augmentation))
    steps = batching.count_steps(len(train.labels))

    def make_items() -> tf.data.Dataset:
        return make_training_dataset(
            train,
            changed,
            class_count=classes,
            batch_size=size,
            seed=run.seed,
            draws_evenly=batching.draws_evenly,
        ).take(steps)

    served = run.as_served()
    if cut.name != ITEMS:
        prefixes = run.hash_prefixes([cut], phase.augmentation)

        def sample() -> np.ndarray:
            return next(iter(make_items().as_numpy_iterator()))[0]

        engine, exact = (each.make_engine([cut], prefixes, sample) for each in (run, served))

    def make_training(first_epoch: int) -> Training:
        batches = make_items()
        if cut.name != ITEMS:
            batches = make_streamed_dataset(
                engine, batches, cut=cut, classes=classes, steps=steps, recorder=run.recorder
            )
        seeds = tf.data.Dataset.random(seed=run.seed, rerandomize_each_iteration=True).batch(2)
        return Training(batches, seeds, steps)

    def read_validation() -> Iterator[np.ndarray]:
        plain = run.modality.plain_view(spec)
        if cut.name == ITEMS:
            return take_views(make_view_batches(validation, plain, batch_size=size))
        views = take_views(make_view_batches(validation, plain, batch_size=BATCH))
        return (features for (features,) in served.recorder.time(exact, views))

    return _join(
        run,
        items,
        phase=phase,
        cut=cut,
        batching=batching,
        make_training=make_training,
        validation=read_validation,
    )


def _join(
    run: FeatureRun,
    items: ItemData,
    *,
    phase: ResolvedPhase,
    cut: Cut,
    batching: Batching,
    make_training: Callable[[int], Training],
    validation: Callable[[], Iterator[np.ndarray]],
    tables: tuple[Table, ...] = (),
) -> PhaseData:
    """Mix training batches as a phase asks, and measure how long their reader waits for them."""
    waiting, train = Waiting(), items.train.labels

    def make_mixed(first_epoch: int = 0) -> tf.data.Dataset:
        batches, seeds, length = make_training(first_epoch)
        mixed = mix_batches(batches, mixup=phase.mixup, cutmix=phase.cutmix, seeds=seeds)
        return time_waiting(mixed, length, waiting)

    return PhaseData(
        cut=cut,
        make_training=make_mixed,
        validation=lambda: time_reading(validation(), waiting),
        labels=(train, items.validation.labels),
        steps_per_epoch=batching.count_steps(len(train)),
        batch_size=batching.size,
        share=run.share,
        views=max(0, len(tables) - 1),
        tables=tables,
        waiting=waiting,
    )
