"""What is to be stored for a phase: which views, behind which cuts, and whether there is room."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from tfxfer.config.phases import ResolvedPhase
from tfxfer.data.items import ItemData, ItemSet
from tfxfer.features.compute import find_tables, sample_lengths
from tfxfer.features.cut import ITEMS, Cut
from tfxfer.features.network import list_engines
from tfxfer.features.run import FeatureRun, Prefixes
from tfxfer.features.store import cache

_STORED_BYTES = 2  # float16 or bfloat16

Views = dict[int, list[Cut]]


def views_of(phase: ResolvedPhase, cut: Cut) -> int:
    """Stored views of each training item that a phase asks for; 0: none."""
    return phase.views if isinstance(phase.views, int) and cut.name != ITEMS else 0


def plan_views(
    run: FeatureRun,
    items: ItemData,
    *,
    phases: Sequence[ResolvedPhase],
    cuts: Sequence[Cut],
    prefixes: Prefixes,
    also: Sequence[Cut] = (),
) -> Views:
    """Choose the cuts to store of each view: the first phase's own, and those of later phases.

    A later phase's are among them where no phase before it trains a layer below its cut: one pass
    gives both. Features that were used least recently are removed where this needs their room.

    Args:
        cuts: of the phases.
        prefixes: of these cuts, as the first phase starts with them.
        also: cuts of other runs that are to find their features stored, deepest first.

    Returns:
        Nothing where the first phase stores nothing, or where there is no room: it streams.
    """
    wanted: Views = {view: [cuts[0]] for view in range(views_of(phases[0], cuts[0]))}
    if not wanted:
        return {}

    def fits(extended: Views) -> bool:
        return has_room(run, items, wanted=extended, prefixes=prefixes)

    if not fits(wanted):
        run.recorder.say(
            f"phase {phases[0].name!r}: features of {len(wanted)} views do not fit in the cache's "
            "share of disk and memory (--set features.max_disk_gb=…); the frozen layers run in "
            "every epoch instead"
        )
        return {}
    for position, (other, cut) in enumerate(zip(phases, cuts, strict=True)):
        is_frozen_till_then = all(each.unfrozen <= cut.unfrozen for each in cuts[:position])
        if cut in wanted[0] or not views_of(other, cut) or not is_frozen_till_then:
            continue
        # View 0 is that of any policy.
        is_alike = run.augmentation.under(other.augmentation) == prefixes.augmentation
        shared = views_of(other, cut) if is_alike else 1
        extended = {view: [*own, cut] if view < shared else own for view, own in wanted.items()}
        wanted = extended if fits(extended) else wanted
    for cut in also:
        if cut in wanted[0] or cut.name == ITEMS:
            continue
        extended = {view: [*own, cut] for view, own in wanted.items()}
        wanted = extended if fits(extended) else wanted
    _ask_cache(cache.make_room, run, items, wanted=wanted, prefixes=prefixes)
    return wanted


def has_room(
    run: FeatureRun,
    items: ItemData,
    *,
    wanted: Mapping[int, Sequence[Cut]],
    prefixes: Prefixes,
) -> bool:
    """Whether what is missing of some training views, and of validation, may be stored."""
    return _ask_cache(cache.has_room, run, items, wanted=wanted, prefixes=prefixes)


def count_missing(run: FeatureRun, items: ItemSet, *, wanted: Views, prefixes: Prefixes) -> int:
    """Items, each view by itself, that have yet to go through the frozen layers."""
    tables = find_tables(run, items, wanted=wanted, prefixes=prefixes)
    return sum(max(tables[view, cut].missing.size for cut in cuts) for view, cuts in wanted.items())


def item_bytes(run: FeatureRun, items: ItemSet, cut: Cut) -> float:
    """Bytes of one item's features in the store: of items of different lengths, those of some."""
    if not cut.is_ragged:
        return math.prod(cut.shape) * _STORED_BYTES
    lengths = run.network.measure(cut, sample_lengths(run, items))
    return float(lengths.mean()) * math.prod(cut.shape[1:]) * _STORED_BYTES


def _ask_cache(
    ask: Callable[[Path, int, Collection[str], int | None], bool],
    run: FeatureRun,
    items: ItemData,
    *,
    wanted: Mapping[int, Sequence[Cut]],
    prefixes: Prefixes,
) -> bool:
    """Ask `cache.has_room` or `cache.make_room` about what is missing."""
    needed = 0
    for split, views in ((items.train, wanted), (items.validation, {0: wanted[0]})):
        for (_, cut), table in find_tables(run, split, wanted=views, prefixes=prefixes).items():
            if len(table.missing):
                needed += math.ceil(len(table.missing) * item_bytes(run, split, cut))
    keys = run.store.keys(prefixes, wanted, engines=list_engines(run.recorder))
    return needed == 0 or ask(run.store.folder, needed, keys, run.store.limit_bytes)
