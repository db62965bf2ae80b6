"""What a phase trains on: stored features, features as they are computed, or pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import tensorflow as tf

from tfxfer.cache.folder import FULL
from tfxfer.config.phases import ResolvedPhase
from tfxfer.data.items import ItemData
from tfxfer.data.pipeline import make_evaluation_dataset, make_training_dataset
from tfxfer.data.soft_targets import targets_of
from tfxfer.errors import InputError
from tfxfer.features.batches import (
    Epochs,
    Waiting,
    make_stored_evaluation,
    make_stored_training,
    make_streamed_dataset,
    time_waiting,
)
from tfxfer.features.compute import compute_tables
from tfxfer.features.cut import PICTURES, Cut
from tfxfer.features.frozen import FrozenLayers, Prefixes
from tfxfer.features.mixing import mix_batches
from tfxfer.features.plan import Views, cut_of, plan_views
from tfxfer.features.store.table import Table
from tfxfer.machine.processes import ALONE, Share


@dataclass(frozen=True)
class PhaseData:
    """A phase's input.

    Attributes:
        cut: where the frozen layers end, whose features these are.
        make_training: gives batches of ``(features [batch, *cut.shape] float32,
            one-hot labels [batch, classes] float32)``, from an epoch on, by its number from 0;
            each call the same ones anew. What is not stored is seen as in the first epochs.
        validation: the same of the validation pictures, in order.
        labels: class numbers of the training and of the validation pictures; where several
            processes train together, all of this are those of this process.
        steps_per_epoch: batches of an epoch, each of `batch_size` pictures; the rest is left out.
        views: stored views of each training picture; 0 where nothing is stored.
        tables: stored training features by view, and those of the validation pictures; empty
            where nothing is stored.
        waiting: how long whoever reads the batches has waited for them.
        share: what this process has of the run.
        epochs: is told the number of each epoch of `make_training` when it begins.
    """

    cut: Cut
    make_training: Callable[..., tf.data.Dataset]
    validation: tf.data.Dataset
    labels: tuple[np.ndarray, np.ndarray]
    steps_per_epoch: int
    batch_size: int
    views: int = 0
    tables: tuple[Table, ...] = ()
    waiting: Waiting = field(default_factory=Waiting)
    share: Share = ALONE
    epochs: Epochs = field(default_factory=Epochs)


def check_mixing(phase: ResolvedPhase, cut: Cut) -> None:
    """Refuse CutMix on features that are no map.

    Raises:
        InputError: with what to take instead.
    """
    if phase.cutmix and not cut.is_spatial:
        raise InputError(
            "cutmix pastes rectangles and needs features that are one map. Received: "
            f"cutmix={phase.cutmix:g} in phase {phase.name!r}, whose features behind "
            f"{cut.name} have the shape {cut.shape}. Take mixup instead."
        )


def make_phase_data(
    layers: FrozenLayers,
    pictures: ItemData,
    phases: Sequence[ResolvedPhase],
    batch_size: int,
    draws_evenly: bool = False,
    also: Sequence[Cut] = (),
    share: Share = ALONE,
    steps: int | None = None,
) -> PhaseData:
    """Compute or find what the first of some phases trains on.

    What the later ones need of the same views is stored in the same pass, where no phase before
    them trains a layer below their cut.

    Args:
        pictures: that this process reads.
        phases: the phase, and those that are to follow.
        batch_size: pictures of a training step in this process.
        draws_evenly: each class is as likely as any other to be drawn for training.
        also: cuts whose features other runs will ask for: the same pass stores them too, where
            there is room.
        share: of this process: features are stored if all processes have room for them.
        steps: of an epoch; None: as many as the pictures fill.

    Raises:
        InputError: the phase's CutMix does not go with the shape of its features, or the features
            do not stay in the store.
    """
    phase, cuts = phases[0], [cut_of(layers, each) for each in phases]
    check_mixing(phase, cuts[0])
    frozen = (cut for cut in (*cuts, *also) if cut.name != PICTURES)
    prefixes = layers.hash_prefixes(frozen, phase.augmentation)
    wanted = plan_views(layers, pictures, phases, cuts, prefixes, also)
    if share.agree(bool(wanted)):
        try:
            stored = make_stored_data(
                layers, pictures, phase, wanted, batch_size, prefixes, draws_evenly, steps
            )
            return replace(stored, share=share)
        except OSError as error:
            if error.errno not in FULL:
                raise
            if share.count > 1:
                raise InputError(
                    "All processes of a run store their features, or none does. Received: a full "
                    f"disk at {str(layers.folder)!r}. Make room (tfxfer cache --clear), or take "
                    "--set features.max_disk_gb=0, and start all of them again."
                ) from error
            layers.say(
                f"phase {phase.name!r}: the disk of {str(layers.folder)!r} is full; the frozen "
                "layers run in every epoch instead (tfxfer cache --clear makes room)"
            )
    streamed = make_streamed_data(layers, pictures, phase, cuts[0], batch_size, draws_evenly, steps)
    return replace(streamed, share=share)


def make_stored_data(
    layers: FrozenLayers,
    pictures: ItemData,
    phase: ResolvedPhase,
    wanted: Views,
    batch_size: int,
    prefixes: Prefixes,
    draws_evenly: bool = False,
    steps: int | None = None,
) -> PhaseData:
    """Store what is missing of some views, and give what a phase trains on.

    Args:
        wanted: the cuts to store of each view; the phase's own is the first.
        batch_size: pictures of a training step.
        prefixes: of all these cuts.
        draws_evenly, steps: The same as in `make_phase_data`.
    """
    train, validation, cut = pictures.train, pictures.validation, wanted[0][0]
    found = compute_tables(layers, train, wanted, "training", prefixes)
    views = [found[view, cut] for view in wanted]
    held_out = {0: wanted[0]}
    kept = compute_tables(layers, validation, held_out, "validation", prefixes)[0, cut]
    classes, targets = len(pictures.classes), targets_of(train)
    return _join(
        pictures,
        phase,
        cut,
        batch_size,
        layers.seed,
        lambda epochs: make_stored_training(
            views, targets, classes, batch_size, layers.seed, draws_evenly, epochs, steps
        ),
        make_stored_evaluation(kept, validation.labels, classes, batch_size),
        (*views, kept),
        steps,
    )


def make_streamed_data(
    layers: FrozenLayers,
    pictures: ItemData,
    phase: ResolvedPhase,
    cut: Cut,
    batch_size: int,
    draws_evenly: bool = False,
    steps: int | None = None,
) -> PhaseData:
    """Give what a phase trains on without storing it: features as they come, or pictures.

    Args:
        cut: the phase's.
        batch_size: pictures of a training step.
        draws_evenly, steps: The same as in `make_phase_data`.
    """
    train, validation, seed = pictures.train, pictures.validation, layers.seed
    classes, spec = len(pictures.classes), layers.backbone.input
    augmentation = layers.augmentation.under(phase.augmentation)
    changed = pictures.modality.augmented_view(spec, augmentation)
    plain = pictures.modality.plain_view(spec)
    steps = steps or _steps(train.labels, batch_size)

    def make_pictures() -> tf.data.Dataset:
        return make_training_dataset(
            train,
            changed,
            class_count=classes,
            batch_size=batch_size,
            seed=seed,
            draws_evenly=draws_evenly,
        ).take(steps)

    def run(dataset: tf.data.Dataset, steps: int) -> tf.data.Dataset:
        if cut.name == PICTURES:
            return dataset
        return make_streamed_dataset(layers, engine, cut, classes, dataset, steps)

    validation_steps = math.ceil(len(validation.labels) / batch_size)
    if cut.name != PICTURES:
        sample = next(iter(make_pictures().as_numpy_iterator()))[0]
        engine = layers.make_engine([cut], sample)
    held_out = make_evaluation_dataset(
        validation, plain, class_count=classes, batch_size=batch_size
    )
    return _join(
        pictures,
        phase,
        cut,
        batch_size,
        seed,
        lambda _: run(make_pictures(), steps),
        run(held_out, validation_steps),
        steps=steps,
    )


def _join(
    pictures: ItemData,
    phase: ResolvedPhase,
    cut: Cut,
    batch_size: int,
    seed: int,
    make_training: Callable[[Epochs], tf.data.Dataset],
    validation: tf.data.Dataset,
    tables: tuple[Table, ...] = (),
    steps: int | None = None,
) -> PhaseData:
    """Mix training batches as a phase wants it, and watch how long they are waited for."""
    waiting, epochs = Waiting(), Epochs()
    train, held_out = pictures.train.labels, pictures.validation.labels
    steps = steps or _steps(train, batch_size)

    def make_mixed(first_epoch: int = 0) -> tf.data.Dataset:
        epochs.start(first_epoch)
        mixed = mix_batches(make_training(epochs), phase.mixup, phase.cutmix, seed, epochs)
        return time_waiting(mixed, steps, waiting)

    return PhaseData(
        cut=cut,
        make_training=make_mixed,
        validation=time_waiting(validation, math.ceil(len(held_out) / batch_size), waiting),
        labels=(train, held_out),
        steps_per_epoch=steps,
        batch_size=batch_size,
        views=max(0, len(tables) - 1),
        tables=tables,
        waiting=waiting,
        epochs=epochs,
    )


def _steps(labels: np.ndarray, batch_size: int) -> int:
    return max(1, len(labels) // batch_size)
