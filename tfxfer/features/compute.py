"""Compute what frozen layers give, in one pass over the pictures for all cuts that lack it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np

from tfxfer.data.items import Identity, ItemSet, spread
from tfxfer.data.pipeline import make_view_batches
from tfxfer.errors import InputError
from tfxfer.features.cut import Cut
from tfxfer.features.engines import BATCH, ENGINES
from tfxfer.features.fingerprint import name_views, view_seeds
from tfxfer.features.frozen import FrozenLayers, Prefixes
from tfxfer.features.store import shards
from tfxfer.features.store.table import Table, look_up
from tfxfer.machine.progress import PictureBar

# Pictures in a file of features: what an interrupted pass has written so far is found again.
_SHARD_PICTURES = 8192

Tables = dict[tuple[int, Cut], Table]


def find_tables(
    layers: FrozenLayers,
    pictures: ItemSet,
    wanted: Mapping[int, Sequence[Cut]],
    prefixes: Prefixes | None = None,
) -> Tables:
    """Look up stored features: a table for each view and cut, which may miss pictures.

    Args:
        wanted: the cuts of each view.
        prefixes: of all these cuts; None: as they are now, with the run's augmentation.
    """
    prefixes = prefixes or layers.hash_prefixes(c for cuts in wanted.values() for c in cuts)
    return _find(layers, pictures.identities(), wanted, prefixes)[1]


def compute_tables(
    layers: FrozenLayers,
    pictures: ItemSet,
    wanted: Mapping[int, Sequence[Cut]],
    split: str,
    prefixes: Prefixes | None = None,
) -> Tables:
    """Store what is missing of some views and cuts, and give the tables of all.

    Args:
        wanted: the cuts of each view; a view's cuts are computed in one pass.
        split: its name, for the progress line.
        prefixes: as in `find_tables`.

    Raises:
        InputError: the features are no numbers, or do not stay in the store.
    """
    prefixes = prefixes or layers.hash_prefixes(c for cuts in wanted.values() for c in cuts)
    # A picture that changes meanwhile is stored as what it was, and found missing next time.
    identities = pictures.identities()
    for _ in ENGINES:
        tables, names = Tables(), set()
        for view, cuts in wanted.items():
            label = f"{split} pictures, view {view}"
            found = _complete_view(layers, pictures, identities, view, cuts, prefixes, label)
            tables |= found
            names.add(layers.engine_name)
        if len(names) == 1:
            break  # else the last cuts needed another engine: all are to come from that one
    return tables


def _complete_view(
    layers: FrozenLayers,
    pictures: ItemSet,
    identities: Sequence[Identity],
    view: int,
    cuts: Sequence[Cut],
    prefixes: Prefixes,
    label: str,
) -> Tables:
    """Store what one view lacks, by one engine, and give its tables."""
    for _ in range(1 + len(ENGINES)):
        name, tables = _find(layers, identities, {view: cuts}, prefixes)
        missing = {cut: tables[view, cut].missing for cut in cuts}
        lacking = tuple(cut for cut in cuts if missing[cut].size)
        if not lacking:
            layers.engine_name = name
            return tables
        rows = np.unique(np.concatenate([missing[cut] for cut in lacking]))
        chosen = pictures.choose(rows)
        engine = prefixes.engines.get(lacking)
        if engine is None or engine.name != layers.engine_name:
            stored_by = name if len(rows) < len(identities) else None
            sample = _sample(layers, pictures, prefixes)
            prefixes.engines[lacking] = layers.make_engine(lacking, sample, stored_by)
        if layers.engine_name == name:  # else: what that one has stored may be whole
            names = [identities[row] for row in rows]
            _store_view(layers, chosen, names, view, lacking, prefixes, label)
    raise InputError(
        "Features must stay in the cache while a run computes them. Received: "
        f"{str(layers.folder)!r}, where those of {len(rows):,} pictures were gone again. Does "
        "another program clear it? Name another folder with --set features.cache_dir=DIR, or "
        "take --set features.max_disk_gb=0 to store nothing."
    )


def _find(
    layers: FrozenLayers,
    identities: Sequence[Identity],
    wanted: Mapping[int, Sequence[Cut]],
    prefixes: Prefixes,
) -> tuple[str, Tables]:
    """Look up what one engine has stored, that which lacks least, and say which one."""
    names = {view: name_views(identities, view) for view in wanted}
    best, fewest = ("", Tables()), math.inf
    for engine_name in layers.engine_names():
        tables = {
            (view, cut): look_up(
                layers.folder, layers.kind(cut, view, engine_name, prefixes), names[view]
            )
            for view, cuts in wanted.items()
            for cut in cuts
        }
        if any(table.damaged for table in tables.values()):
            layers.say("damaged files of stored features were removed; they are computed again")
        missing = sum(table.missing.size for table in tables.values())
        if missing < fewest:
            best, fewest = (engine_name, tables), missing
    return best


def _store_view(
    layers: FrozenLayers,
    pictures: ItemSet,
    identities: Sequence[Identity],
    view: int,
    cuts: tuple[Cut, ...],
    prefixes: Prefixes,
    label: str,
) -> None:
    """Compute one view of some pictures and write it, a file of each cut after the other."""
    with PictureBar(label, len(identities), layers.console) as bar:
        for start in range(0, len(identities), _SHARD_PICTURES):
            positions = np.arange(start, min(start + _SHARD_PICTURES, len(identities)))
            part = pictures.choose(positions) if len(positions) < len(identities) else pictures
            names = name_views(identities[start : start + len(positions)], view)
            show = partial(bar.show, start)
            try:
                _store_shards(layers, part, names, view, cuts, prefixes, show)
            except OverflowError:
                _store_shards(layers, part, names, view, cuts, prefixes, show, "float32")


def _store_shards(
    layers: FrozenLayers,
    pictures: ItemSet,
    names: Sequence[str],
    view: int,
    cuts: tuple[Cut, ...],
    prefixes: Prefixes,
    show: Callable[[int], None],
    dtype: str | None = None,
) -> None:
    """Compute one view of some pictures and write a file of each cut.

    Args:
        show: is told how many pictures are done.
        dtype: of the store; None: what suits the first ones.

    Raises:
        InputError: features that are no numbers.
        OverflowError: features that are too large for what suited the first ones.
    """
    engine, done = prefixes.engines[cuts], 0
    writers: list[Callable[[np.ndarray], None]] = []
    with ExitStack() as stack:
        for parts in layers.run(engine, _make_views(layers, pictures, view, prefixes)):
            if not all(np.isfinite(part).all() for part in parts):
                raise InputError(
                    f"Features must be finite. Received: engine {engine.name!r} gave infinite "
                    "ones or none at all for some pictures. Take another engine, such as "
                    "--set features.engine=tensorflow."
                )
            if not writers:
                writers = [
                    stack.enter_context(
                        shards.write_shard(
                            layers.folder,
                            layers.kind(cut, view, engine.name, prefixes),
                            names,
                            dtype or shards.choose_dtype(part),
                        )
                    )
                    for cut, part in zip(cuts, parts, strict=True)
                ]
            for write, part in zip(writers, parts, strict=True):
                write(part)
            done += len(parts[0])
            show(done)


def _sample(layers: FrozenLayers, pictures: ItemSet, prefixes: Prefixes) -> np.ndarray:
    """Some pictures from all over a split, where neighbours are often of one class."""
    return next(_make_views(layers, spread(pictures, BATCH), 0, prefixes))


def _make_views(
    layers: FrozenLayers, pictures: ItemSet, view: int, prefixes: Prefixes
) -> Iterator[np.ndarray]:
    """Decode one view of every picture, in batches."""
    spec = layers.backbone.input
    if view == 0:
        plain = layers.modality.plain_view(spec)
        return iter(make_view_batches(pictures, plain, batch_size=BATCH).as_numpy_iterator())
    changed = layers.modality.augmented_view(spec, prefixes.augmentation)
    seeds = view_seeds(pictures.identities(), layers.seed, view)
    dataset = make_view_batches(pictures, changed, batch_size=BATCH, seeds=seeds)
    return iter(dataset.as_numpy_iterator())
