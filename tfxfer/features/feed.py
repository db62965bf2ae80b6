"""What a phase trains on: stored features, features as they are computed, or pictures."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import tensorflow as tf

from tfxfer.backbones.blocks import resolve_unfreeze
from tfxfer.config import ResolvedPhase
from tfxfer.data.pictures import PictureData, PictureSet
from tfxfer.data.pipeline import make_evaluation_dataset, make_training_dataset
from tfxfer.errors import InputError
from tfxfer.features import store
from tfxfer.features.compute import FrozenLayers
from tfxfer.features.engines import BATCH, Engine
from tfxfer.features.mixing import mix_batches
from tfxfer.features.split import PICTURES, Cut, find_cut

_STORED_BYTES = 2  # float16 or bfloat16
_GIGABYTE = 10**9


@dataclass(frozen=True)
class PhaseData:
    """A phase's input.

    Attributes:
        cut: where the frozen layers end, whose features these are.
        make_training: gives batches of ``(features [batch, *cut.shape] float32,
            one-hot labels [batch, classes] float32)``; each call the same ones anew.
        validation: the same of the validation pictures, in order.
        labels: class numbers of the training and of the validation pictures.
        views: stored views of each training picture; 0 where nothing is stored.
        tables: stored training features by view, and those of the validation pictures; empty
            where nothing is stored.
    """

    cut: Cut
    make_training: Callable[[], tf.data.Dataset]
    validation: tf.data.Dataset
    labels: tuple[np.ndarray, np.ndarray]
    steps_per_epoch: int
    batch_size: int
    views: int = 0
    tables: tuple[store.Table, ...] = ()


def make_phase_data(
    layers: FrozenLayers,
    pictures: PictureData,
    phases: Sequence[ResolvedPhase],
    batch_size: int,
) -> PhaseData:
    """Compute or find what the first of some phases trains on.

    What the later ones need of the same views is stored in the same pass, where no phase before
    them trains a layer below their cut.

    Args:
        phases: the phase, and those that are to follow.

    Raises:
        InputError: the phase's CutMix does not go with the shape of its features.
    """
    cuts = [_cut_of(layers, each) for each in phases]
    if phases[0].cutmix and not cuts[0].is_spatial:
        raise InputError(
            "cutmix pastes rectangles and needs features that are one map. Received: "
            f"cutmix={phases[0].cutmix:g} in phase {phases[0].name!r}, whose features behind "
            f"{cuts[0].name} have the shape {cuts[0].shape}. Take mixup instead."
        )
    wanted = _plan_views(layers, pictures, phases, cuts)
    if not wanted:
        return make_streamed_data(layers, pictures, phases[0], cuts[0], batch_size)
    train, validation, cut = pictures.train, pictures.validation, cuts[0]
    classes, seed = len(pictures.classes), layers.seed
    engines: dict[tuple[Cut, ...], Engine] = {}
    found = layers.compute_tables(train, wanted, "training", engines)
    views = [found[view, cut] for view in wanted]
    held_out = layers.compute_tables(validation, {0: wanted[0]}, "validation", engines)[0, cut]
    return PhaseData(
        cut=cut,
        make_training=lambda: mix_batches(
            make_stored_training(views, train.labels, classes, batch_size, seed),
            phases[0].mixup,
            phases[0].cutmix,
            seed,
        ),
        validation=make_stored_evaluation(held_out, validation.labels, classes, batch_size),
        labels=(train.labels, validation.labels),
        steps_per_epoch=max(1, len(train.labels) // batch_size),
        batch_size=batch_size,
        views=len(views),
        tables=(*views, held_out),
    )


def make_streamed_data(
    layers: FrozenLayers,
    pictures: PictureData,
    phase: ResolvedPhase,
    cut: Cut,
    batch_size: int,
) -> PhaseData:
    """Give what a phase trains on without storing it: features as they come, or pictures."""
    train, validation, seed = pictures.train, pictures.validation, layers.seed
    classes, size_px = len(pictures.classes), layers.backbone.size_px

    def make_pictures() -> tf.data.Dataset:
        return make_training_dataset(train, classes, size_px, batch_size, layers.augmentation, seed)

    def run(dataset: tf.data.Dataset, steps: int) -> tf.data.Dataset:
        if cut.name == PICTURES:
            return dataset
        return make_streamed_dataset(layers, engine, cut, classes, dataset, steps)

    steps = max(1, len(train.labels) // batch_size)
    validation_steps = math.ceil(len(validation.labels) / batch_size)
    if cut.name != PICTURES:
        sample = next(iter(make_pictures().as_numpy_iterator()))[0]
        engine = layers.make_engine([cut], sample)
    held_out = make_evaluation_dataset(validation, classes, size_px, batch_size)
    return PhaseData(
        cut=cut,
        make_training=lambda: mix_batches(
            run(make_pictures(), steps), phase.mixup, phase.cutmix, seed
        ),
        validation=run(held_out, validation_steps),
        labels=(train.labels, validation.labels),
        steps_per_epoch=steps,
        batch_size=batch_size,
    )


def make_stored_training(
    tables: Sequence[store.Table], labels: np.ndarray, classes: int, batch_size: int, seed: int
) -> tf.data.Dataset:
    """Give shuffled batches of stored features; each epoch shows the next view of each picture."""
    shape, dtype = tables[0].shape, _common_dtype(tables)
    one_hot = np.eye(classes, dtype=np.float32)[labels]
    steps = max(1, len(labels) // batch_size)
    epochs = count()

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        epoch = next(epochs)
        order = np.random.default_rng([seed, epoch]).permutation(len(labels))
        for positions in np.split(order[: steps * batch_size], steps):
            # Neighbours are at different views, so that each epoch has some of every one.
            views = (positions + epoch) % len(tables)
            features = np.empty((len(positions), *shape), dtype.as_numpy_dtype)
            for view in np.unique(views):
                features[views == view] = tables[view].read(positions[views == view])
            yield features, one_hot[positions]

    return _from_generator(generate, shape, dtype, classes, steps)


def make_stored_evaluation(
    table: store.Table, labels: np.ndarray, classes: int, batch_size: int
) -> tf.data.Dataset:
    """Give the stored features of every picture once, in order."""
    one_hot = np.eye(classes, dtype=np.float32)[labels]

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(labels), batch_size):
            positions = np.arange(start, min(start + batch_size, len(labels)))
            yield table.read(positions), one_hot[positions]

    steps = math.ceil(len(labels) / batch_size)
    return _from_generator(generate, table.shape, _common_dtype([table]), classes, steps)


def make_streamed_dataset(
    layers: FrozenLayers,
    engine: Engine,
    cut: Cut,
    classes: int,
    pictures: tf.data.Dataset,
    steps: int,
) -> tf.data.Dataset:
    """Run the frozen layers on batches of pictures as they come, in their order.

    Args:
        engine: of the layers below the cut.
        pictures: batches of ``(pictures, one-hot labels)``.
        steps: number of the batches.
    """

    def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        labels: deque[np.ndarray] = deque()

        def pieces() -> Iterator[np.ndarray]:
            for batch, batch_labels in pictures.as_numpy_iterator():
                labels.append(batch_labels)
                yield from np.split(batch, range(BATCH, len(batch), BATCH))

        ready: list[np.ndarray] = []
        for (features,) in layers.run(engine, pieces()):
            ready.append(features)
            if sum(map(len, ready)) == len(labels[0]):
                yield np.concatenate(ready), labels.popleft()
                ready.clear()

    return _from_generator(generate, cut.shape, tf.float32, classes, steps)


def _from_generator(
    generate: Callable, shape: tuple[int, ...], dtype: tf.DType, classes: int, steps: int
) -> tf.data.Dataset:
    features = tf.TensorSpec((None, *shape), dtype)
    labels = tf.TensorSpec((None, classes), tf.float32)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=(features, labels))
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return dataset.map(lambda x, y: (tf.cast(x, tf.float32), y)).prefetch(4)


def _common_dtype(tables: Sequence[store.Table]) -> tf.DType:
    used = {table.dtype for table in tables}
    return tf.as_dtype(used.pop() if len(used) == 1 else "float32")


def _cut_of(layers: FrozenLayers, phase: ResolvedPhase) -> Cut:
    unfrozen = resolve_unfreeze(phase.unfreeze, layers.backbone.blocks)
    return find_cut(layers.backbone, layers.head, unfrozen)


def _plan_views(
    layers: FrozenLayers,
    pictures: PictureData,
    phases: Sequence[ResolvedPhase],
    cuts: Sequence[Cut],
) -> dict[int, list[Cut]]:
    """The cuts to store of each view, the first phase's own among them; empty: stream instead."""
    phase, cut = phases[0], cuts[0]
    if not isinstance(phase.views, int) or cut.name == PICTURES:
        return {}
    wanted = {view: [cut] for view in range(phase.views)}
    if not _has_room(layers, pictures, wanted):
        layers.say(
            f"phase {phase.name!r}: features of {phase.views} views do not fit in the cache's "
            "share of the disk (--set features.max_disk_gb=…); the frozen layers run in every "
            "epoch instead"
        )
        return {}
    for position, (other, other_cut) in enumerate(zip(phases, cuts, strict=True)):
        is_frozen_till_then = all(each.unfrozen <= other_cut.unfrozen for each in cuts[:position])
        if (
            other_cut in wanted[0]
            or other_cut.name == PICTURES
            or not isinstance(other.views, int)
            or not is_frozen_till_then
        ):
            continue
        extended = {
            view: [*own, other_cut] if view < other.views else own for view, own in wanted.items()
        }
        if _has_room(layers, pictures, extended):
            wanted = extended
    return wanted


def _has_room(layers: FrozenLayers, pictures: PictureData, wanted: dict[int, list[Cut]]) -> bool:
    """Whether what is missing of some training views, and of validation, may be stored."""
    needed = 0
    pairs: list[tuple[PictureSet, dict[int, list[Cut]]]] = [
        (pictures.train, wanted),
        (pictures.validation, {0: wanted[0]}),
    ]
    for split, views in pairs:
        for (_, cut), table in layers.find_tables(split, views).items():
            needed += len(table.missing) * math.prod(cut.shape) * _STORED_BYTES
    keys = {layers.key(cut) for cut in {c for cuts in wanted.values() for c in cuts}}
    limit = layers.config.max_disk_gb
    budget = None if limit is None else int(limit * _GIGABYTE)
    return needed == 0 or store.make_room(layers.folder, needed, sorted(keys), budget)
