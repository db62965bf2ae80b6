"""The computation of features to store, in one pass over the items for all cuts that lack them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from tfxfer.data.items import Identity, ItemSet, spread
from tfxfer.data.pipeline import make_view_batches, take_sample
from tfxfer.errors import InputError
from tfxfer.features.cut import Cut
from tfxfer.features.engines import BATCH, ENGINES
from tfxfer.features.fingerprint import name_views, view_seeds
from tfxfer.features.run import FeatureRun, Prefixes
from tfxfer.features.store import shards
from tfxfer.features.store.shards import read_error
from tfxfer.features.store.table import Table
from tfxfer.machine.progress import ItemBar

# A file of features holds so many items. The files of an interrupted pass are found again.
_SHARD_ITEMS = 8192
# The room that all items will need is estimated from the lengths of so many of them.
_SAMPLE_ITEMS = 256

Tables = dict[tuple[int, Cut], Table]


@dataclass(frozen=True)
class _Pass:
    """One view of some items on its way through the frozen layers.

    Attributes:
        identities: The identities of the items when the pass began.
        cuts: The cuts whose features the pass computes.
        split: The name of the items' split, for the progress line.
    """

    run: FeatureRun
    items: ItemSet
    identities: Sequence[Identity]
    view: int
    cuts: tuple[Cut, ...]
    prefixes: Prefixes
    split: str

    def choose(self, rows: np.ndarray) -> _Pass:
        """Return the same pass over the items at some positions."""
        if len(rows) == len(self.identities):
            return self
        chosen = [self.identities[row] for row in rows]
        return replace(self, items=self.items.choose(rows), identities=chosen)


def find_tables(
    run: FeatureRun,
    items: ItemSet,
    *,
    wanted: Mapping[int, Sequence[Cut]],
    prefixes: Prefixes | None = None,
) -> Tables:
    """Look up stored features; return a table for each view and cut, which may lack items.

    Args:
        wanted: The cuts of each view.
        prefixes: The layers below all these cuts; None takes them as they are now, with the run's
            augmentation.
    """
    prefixes = prefixes or run.hash_prefixes(c for cuts in wanted.values() for c in cuts)
    return _find(run, items.identities(), wanted=wanted, prefixes=prefixes)[1]


def compute_tables(
    run: FeatureRun,
    items: ItemSet,
    *,
    wanted: Mapping[int, Sequence[Cut]],
    split: str,
    prefixes: Prefixes | None = None,
) -> Tables:
    """Store the missing features of some views and cuts, and return the tables of all.

    Args:
        wanted: The cuts of each view; a view's cuts are computed in one pass.
        split: The name of the split, for the progress line.
        prefixes: The same as in `find_tables`.

    Raises:
        InputError: The features are no numbers, or do not stay in the store.
    """
    prefixes = prefixes or run.hash_prefixes(c for cuts in wanted.values() for c in cuts)
    # An item that changes meanwhile is stored under its old identity, and is missing next time.
    identities = items.identities()
    for _ in ENGINES:
        tables, names = Tables(), set()
        for view, cuts in wanted.items():
            whole = _Pass(run, items, identities, view, tuple(cuts), prefixes, split)
            tables |= _complete_view(whole)
            names.add(run.recorder.engine_name)
        if len(names) == 1:
            break  # Otherwise, a view needed another engine, which then has to give all features.
    engine = run.recorder.engine_name or ""
    kinds = (run.store.kind(cut, v, engine=engine, origin=prefixes) for v, cut in tables)
    errors = (read_error(run.store.folder, kind) for kind in kinds)
    run.recorder.note_error(error for error in errors if error is not None)
    return tables


def _complete_view(whole: _Pass) -> Tables:
    """Store the features that one view lacks, by one engine, and return its tables."""
    run, identities, engines = whole.run, whole.identities, whole.prefixes.engines
    plain = run.modality.plain_view(run.network.backbone.input)
    for _ in range(1 + len(ENGINES)):
        wanted = {whole.view: whole.cuts}
        name, tables = _find(run, identities, wanted=wanted, prefixes=whole.prefixes)
        missing = {cut: tables[whole.view, cut].missing for cut in whole.cuts}
        lacking = tuple(cut for cut in whole.cuts if missing[cut].size)
        if not lacking:
            run.recorder.engine_name = name
            return tables
        rows = np.unique(np.concatenate([missing[cut] for cut in lacking]))
        if (run.recorder.engine_name, lacking) not in engines:
            engine = run.make_engine(
                lacking,
                whole.prefixes,
                partial(take_sample, whole.items, plain, count=BATCH),
                stored_by=name if len(rows) < len(identities) else None,
            )
            run.keep_trial(engine, lacking, whole.prefixes)
            engines[engine.name, lacking] = engine
        # If another engine was chosen, the features that it has stored may be complete.
        if run.recorder.engine_name == name:
            _store_view(replace(whole, cuts=lacking).choose(rows))
    raise InputError(
        "Features must stay in the cache while a run computes them. Received: "
        f"{str(run.store.folder)!r}, where those of {len(rows):,} pictures were gone again. Does "
        "another program clear it? Name another folder with --set features.cache_dir=DIR, or "
        "take --set features.max_disk_gb=0 to store nothing."
    )


def _find(
    run: FeatureRun,
    identities: Sequence[Identity],
    *,
    wanted: Mapping[int, Sequence[Cut]],
    prefixes: Prefixes,
) -> tuple[str, Tables]:
    """Return the engine whose stored features lack the fewest items, and their tables."""
    names = {view: name_views(identities, view) for view in wanted}
    best, fewest = ("", Tables()), math.inf
    for engine in run.list_engines():
        tables = run.store.look_up(wanted, names, engine=engine, origin=prefixes)
        if any(table.damaged for table in tables.values()):
            run.recorder.say(
                "damaged files of stored features were removed; they are computed again"
            )
        missing = sum(table.missing.size for table in tables.values())
        if missing < fewest:
            best, fewest = (engine, tables), missing
    return best


def _store_view(part: _Pass) -> None:
    """Compute one view of some items, and write it to one file after the other for each cut."""
    count, label = len(part.identities), f"{part.split} pictures, view {part.view}"
    with ItemBar(label, count, part.run.recorder.console) as bar:
        for start in range(0, count, _SHARD_ITEMS):
            own = part.choose(np.arange(start, min(start + _SHARD_ITEMS, count)))
            show = partial(bar.show, start)
            try:
                _store_shards(own, show)
            except OverflowError:
                _store_shards(own, show, dtype="float32")


def _store_shards(part: _Pass, show: Callable[[int], None], *, dtype: str | None = None) -> None:
    """Compute one view of some items, and write one file for each cut.

    Args:
        show: A function that is told how many items are done.
        dtype: The type in which features are stored; None takes one that suits the first batch.

    Raises:
        InputError: Some features are no numbers.
        OverflowError: Some features are too large for the type that suits the first batch.
    """
    run, done = part.run, 0
    engine = part.prefixes.engines[run.recorder.engine_name, part.cuts]
    names = name_views(part.identities, part.view)
    writers: list[Callable[..., None]] = []
    lengths: deque[np.ndarray] = deque()
    with ExitStack() as stack:
        for features in run.recorder.time(engine, _make_views(part, lengths)):
            if not all(np.isfinite(each).all() for each in features):
                raise InputError(
                    f"Features must be finite. Received: engine {engine.name!r} gave infinite "
                    "ones or none at all for some pictures. Take another engine, such as "
                    "--set features.engine=tensorflow."
                )
            if not writers:
                for cut, each in zip(part.cuts, features, strict=True):
                    kind = run.store.kind(cut, part.view, engine=engine.name, origin=part.prefixes)
                    kind = replace(kind, about=kind.about | {"error": engine.error})
                    chosen = dtype or run.store.dtype or shards.choose_dtype(each)
                    shard = shards.write_shard(run.store.folder, kind, names, chosen)
                    writers.append(stack.enter_context(shard))
            own = lengths.popleft() if lengths else None
            for cut, write, each in zip(part.cuts, writers, features, strict=True):
                if own is not None and cut.is_ragged:
                    write(each, run.network.measure(cut, own))
                else:
                    write(each)
            done += len(features[0])
            show(done)


def sample_lengths(run: FeatureRun, items: ItemSet) -> np.ndarray:
    """Return the lengths, as the network reads them, of some items from all over a split."""
    plain = run.modality.plain_view(run.network.backbone.input)
    batches = make_view_batches(spread(items, _SAMPLE_ITEMS), plain, batch_size=BATCH)
    return np.concatenate([lengths for _, lengths in batches])


def _make_views(part: _Pass, lengths: deque[np.ndarray]) -> Iterator[np.ndarray]:
    """Decode one view of every item, in batches.

    Args:
        lengths: The queue that receives the lengths of each batch if views have different lengths.
    """
    spec, modality, items = part.run.network.backbone.input, part.run.modality, part.items
    if part.view == 0:
        plain = modality.plain_view(spec)
        batches = make_view_batches(items, plain, batch_size=BATCH)
    else:
        changed = modality.augmented_view(spec, part.prefixes.augmentation)
        seeds = view_seeds(items.identities(), part.run.seed, part.view)
        batches = make_view_batches(items, changed, batch_size=BATCH, seeds=seeds)
    return _note_lengths(batches, lengths)


def _note_lengths(batches: Iterator[Any], lengths: deque[np.ndarray]) -> Iterator[np.ndarray]:
    for batch in batches:
        if isinstance(batch, tuple):
            batch, own = batch
            lengths.append(own)
        yield batch
