"""What a phase trains on: stored features, features as they are computed, or pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from tfxfer.config import ResolvedPhase
from tfxfer.data.pictures import PictureData
from tfxfer.data.pipeline import make_evaluation_dataset, make_training_dataset
from tfxfer.data.soft_targets import targets_of
from tfxfer.errors import InputError
from tfxfer.features import store
from tfxfer.features.batches import (
    Waiting,
    make_stored_evaluation,
    make_stored_training,
    make_streamed_dataset,
    time_waiting,
)
from tfxfer.features.compute import compute_tables
from tfxfer.features.frozen import FrozenLayers, Prefixes
from tfxfer.features.mixing import mix_batches
from tfxfer.features.plan import Views, cut_of, plan_views
from tfxfer.features.shards import FULL
from tfxfer.features.split import PICTURES, Cut


@dataclass(frozen=True)
class PhaseData:
    """A phase's input.

    Attributes:
        cut: where the frozen layers end, whose features these are.
        make_training: gives batches of ``(features [batch, *cut.shape] float32,
            one-hot labels [batch, classes] float32)``, from an epoch on, by its number from 0;
            each call the same ones anew. What is not stored is seen as in the first epochs.
        validation: the same of the validation pictures, in order.
        labels: class numbers of the training and of the validation pictures.
        steps_per_epoch: batches of an epoch, each of `batch_size` pictures; the rest is left out.
        views: stored views of each training picture; 0 where nothing is stored.
        tables: stored training features by view, and those of the validation pictures; empty
            where nothing is stored.
        waiting: how long whoever reads the batches has waited for them.
    """

    cut: Cut
    make_training: Callable[..., tf.data.Dataset]
    validation: tf.data.Dataset
    labels: tuple[np.ndarray, np.ndarray]
    steps_per_epoch: int
    batch_size: int
    views: int = 0
    tables: tuple[store.Table, ...] = ()
    waiting: Waiting = field(default_factory=Waiting)


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
    pictures: PictureData,
    phases: Sequence[ResolvedPhase],
    batch_size: int,
    draws_evenly: bool = False,
    also: Sequence[Cut] = (),
) -> PhaseData:
    """Compute or find what the first of some phases trains on.

    What the later ones need of the same views is stored in the same pass, where no phase before
    them trains a layer below their cut.

    Args:
        phases: the phase, and those that are to follow.
        batch_size: pictures of a training step.
        draws_evenly: each class is as likely as any other to be drawn for training.
        also: cuts whose features other runs will ask for: the same pass stores them too, where
            there is room.

    Raises:
        InputError: the phase's CutMix does not go with the shape of its features, or the features
            do not stay in the store.
    """
    phase, cuts = phases[0], [cut_of(layers, each) for each in phases]
    check_mixing(phase, cuts[0])
    frozen = (cut for cut in (*cuts, *also) if cut.name != PICTURES)
    prefixes = layers.hash_prefixes(frozen, phase.augmentation)
    wanted = plan_views(layers, pictures, phases, cuts, prefixes, also)
    if wanted:
        try:
            return make_stored_data(
                layers, pictures, phase, wanted, batch_size, prefixes, draws_evenly
            )
        except OSError as error:
            if error.errno not in FULL:
                raise
            layers.say(
                f"phase {phase.name!r}: the disk of {str(layers.folder)!r} is full; the frozen "
                "layers run in every epoch instead (tfxfer cache --clear makes room)"
            )
    return make_streamed_data(layers, pictures, phase, cuts[0], batch_size, draws_evenly)


def make_stored_data(
    layers: FrozenLayers,
    pictures: PictureData,
    phase: ResolvedPhase,
    wanted: Views,
    batch_size: int,
    prefixes: Prefixes,
    draws_evenly: bool = False,
) -> PhaseData:
    """Store what is missing of some views, and give what a phase trains on.

    Args:
        wanted: the cuts to store of each view; the phase's own is the first.
        batch_size: pictures of a training step.
        prefixes: of all these cuts.
        draws_evenly: as of `make_phase_data`.
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
        lambda first_epoch: make_stored_training(
            views, targets, classes, batch_size, layers.seed, draws_evenly, first_epoch
        ),
        make_stored_evaluation(kept, validation.labels, classes, batch_size),
        (*views, kept),
    )


def make_streamed_data(
    layers: FrozenLayers,
    pictures: PictureData,
    phase: ResolvedPhase,
    cut: Cut,
    batch_size: int,
    draws_evenly: bool = False,
) -> PhaseData:
    """Give what a phase trains on without storing it: features as they come, or pictures.

    Args:
        cut: the phase's.
        batch_size: pictures of a training step.
        draws_evenly: as of `make_phase_data`.
    """
    train, validation, seed = pictures.train, pictures.validation, layers.seed
    classes, size_px = len(pictures.classes), layers.backbone.size_px
    augmentation = layers.augmentation.under(phase.augmentation)

    def make_pictures() -> tf.data.Dataset:
        return make_training_dataset(
            train, classes, size_px, batch_size, augmentation, seed, draws_evenly
        )

    def run(dataset: tf.data.Dataset, steps: int) -> tf.data.Dataset:
        if cut.name == PICTURES:
            return dataset
        return make_streamed_dataset(layers, engine, cut, classes, dataset, steps)

    steps = _steps(train.labels, batch_size)
    validation_steps = math.ceil(len(validation.labels) / batch_size)
    if cut.name != PICTURES:
        sample = next(iter(make_pictures().as_numpy_iterator()))[0]
        engine = layers.make_engine([cut], sample)
    held_out = make_evaluation_dataset(validation, classes, size_px, batch_size)
    return _join(
        pictures,
        phase,
        cut,
        batch_size,
        seed,
        lambda _: run(make_pictures(), steps),
        run(held_out, validation_steps),
    )


def _join(
    pictures: PictureData,
    phase: ResolvedPhase,
    cut: Cut,
    batch_size: int,
    seed: int,
    make_training: Callable[[int], tf.data.Dataset],
    validation: tf.data.Dataset,
    tables: tuple[store.Table, ...] = (),
) -> PhaseData:
    """Mix training batches as a phase wants it, and watch how long they are waited for."""
    waiting = Waiting()
    train, held_out = pictures.train.labels, pictures.validation.labels
    steps = _steps(train, batch_size)

    def make_mixed(first_epoch: int = 0) -> tf.data.Dataset:
        batches = make_training(first_epoch)
        mixed = mix_batches(batches, phase.mixup, phase.cutmix, seed, first_epoch)
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
    )


def _steps(labels: np.ndarray, batch_size: int) -> int:
    return max(1, len(labels) // batch_size)
