"""The input of a phase: stored features, features as they are computed, or items."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import tensorflow as tf

from tfxfer.config.phases import ResolvedPhase
from tfxfer.data.items import ItemData
from tfxfer.data.pipeline import make_evaluation_dataset, make_training_dataset
from tfxfer.errors import FULL, InputError
from tfxfer.features.batches import (
    Batching,
    Epochs,
    Waiting,
    make_stored_evaluation,
    make_stored_training,
    make_streamed_dataset,
    time_waiting,
)
from tfxfer.features.compute import compute_tables
from tfxfer.features.cut import ITEMS, Cut
from tfxfer.features.mixing import mix_batches
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
            0. Each call gives the same batches anew. Features that are not stored are always seen
            as in the first epochs.
        validation: The same batches of the validation items, in order.
        labels: The labels of the training and of the validation items.
        steps_per_epoch: The number of batches of an epoch, each of `batch_size` items; the rest
            is left out.
        share: The part of the run that this process does.
        views: The number of stored views of each training item; 0 if nothing is stored.
        tables: The stored training features of each view, and then those of the validation items;
            empty if nothing is stored.
        waiting: The time that the reader of the batches has waited for them.
        epochs: The counter that is told the number of each epoch of `make_training` when it begins.
    """

    cut: Cut
    make_training: Callable[..., tf.data.Dataset]
    validation: tf.data.Dataset
    labels: tuple[Labels, Labels]
    steps_per_epoch: int
    batch_size: int
    share: Share
    views: int = 0
    tables: tuple[Table, ...] = ()
    waiting: Waiting = field(default_factory=Waiting)
    epochs: Epochs = field(default_factory=Epochs)


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
    held_out = {0: wanted[0]}
    kept = compute_tables(run, validation, wanted=held_out, split="validation", prefixes=prefixes)[
        0, cut
    ]
    classes = len(items.classes)

    def make_training(epochs: Epochs) -> tf.data.Dataset:
        return make_stored_training(
            views, train.labels, classes=classes, batching=batching, seed=run.seed, epochs=epochs
        )

    return _join(
        run,
        items,
        phase=phase,
        cut=cut,
        batching=batching,
        make_training=make_training,
        validation=make_stored_evaluation(
            kept, validation.labels, classes=classes, batch_size=batching.size
        ),
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
    plain = run.modality.plain_view(spec)
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

    def stream(dataset: tf.data.Dataset, steps: int) -> tf.data.Dataset:
        if cut.name == ITEMS:
            return dataset
        return make_streamed_dataset(
            engine, dataset, cut=cut, classes=classes, steps=steps, recorder=run.recorder
        )

    if cut.name != ITEMS:
        sample = next(iter(make_items().as_numpy_iterator()))[0]
        engine = run.network.make_engine([cut], sample, recorder=run.recorder)
    held_out = make_evaluation_dataset(validation, plain, class_count=classes, batch_size=size)
    return _join(
        run,
        items,
        phase=phase,
        cut=cut,
        batching=batching,
        make_training=lambda _: stream(make_items(), steps),
        validation=stream(held_out, math.ceil(len(validation.labels) / size)),
    )


def _join(
    run: FeatureRun,
    items: ItemData,
    *,
    phase: ResolvedPhase,
    cut: Cut,
    batching: Batching,
    make_training: Callable[[Epochs], tf.data.Dataset],
    validation: tf.data.Dataset,
    tables: tuple[Table, ...] = (),
) -> PhaseData:
    """Mix training batches as a phase asks, and measure how long their reader waits for them."""
    waiting, epochs = Waiting(), Epochs()
    train, held_out = items.train.labels, items.validation.labels
    steps = batching.count_steps(len(train))

    def make_mixed(first_epoch: int = 0) -> tf.data.Dataset:
        epochs.start(first_epoch)
        mixed = mix_batches(
            make_training(epochs),
            mixup=phase.mixup,
            cutmix=phase.cutmix,
            seed=run.seed,
            epochs=epochs,
        )
        return time_waiting(mixed, steps, waiting)

    return PhaseData(
        cut=cut,
        make_training=make_mixed,
        validation=time_waiting(validation, math.ceil(len(held_out) / batching.size), waiting),
        labels=(train, held_out),
        steps_per_epoch=steps,
        batch_size=batching.size,
        share=run.share,
        views=max(0, len(tables) - 1),
        tables=tables,
        waiting=waiting,
        epochs=epochs,
    )
