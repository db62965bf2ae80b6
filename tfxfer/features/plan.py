"""The plan of the features to store for a phase: the views, their cuts, and the room for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from tfxfer.config.phases import ResolvedPhase
from tfxfer.data.items import ItemData, ItemSet
from tfxfer.features.compute import find_tables, sample_lengths
from tfxfer.features.cut import ITEMS, Cut
from tfxfer.features.run import FeatureRun, Prefixes
from tfxfer.features.store import cache

_STORED_BYTES = {None: 2, "float32": 4}  # Most features are stored in float16 or bfloat16.

Views = dict[int, list[Cut]]


def views_of(phase: ResolvedPhase, cut: Cut) -> int:
    """Return how many stored views of each training item a phase asks for; 0 means none."""
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
    """Choose the cuts to store of each view: the first phase's own, and cuts of later phases.

    The cut of a later phase is among them if no phase before it trains a layer below this cut,
    because one pass gives both. If room is needed, the least recently used features are removed.

    Args:
        cuts: The cuts of the phases.
        prefixes: The layers below these cuts, as the first phase starts with them.
        also: The cuts of other runs that are to find their features stored, deepest first.

    Returns:
        The cuts by view. There are none if the first phase stores nothing, or if there is no room;
        the frozen layers then run in every epoch.
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
        # View 0 is the same under every policy.
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
    """Return whether there is room for the missing features of training views and validation."""
    return _ask_cache(cache.has_room, run, items, wanted=wanted, prefixes=prefixes)


def count_missing(run: FeatureRun, items: ItemSet, *, wanted: Views, prefixes: Prefixes) -> int:
    """Return how many items, counted in each view, have yet to go through the frozen layers."""
    tables = find_tables(run, items, wanted=wanted, prefixes=prefixes)
    return sum(max(tables[view, cut].missing.size for cut in cuts) for view, cuts in wanted.items())


def item_bytes(run: FeatureRun, items: ItemSet, cut: Cut) -> float:
    """Return the stored bytes of an item's features, or their mean over some if lengths differ."""
    if not cut.is_ragged:
        return math.prod(cut.shape) * _STORED_BYTES[run.store.dtype]
    lengths = run.network.measure(cut, sample_lengths(run, items))
    return float(lengths.mean()) * math.prod(cut.shape[1:]) * _STORED_BYTES[run.store.dtype]


def _ask_cache(
    ask: Callable[[Path, int, Collection[str], int | None], bool],
    run: FeatureRun,
    items: ItemData,
    *,
    wanted: Mapping[int, Sequence[Cut]],
    prefixes: Prefixes,
) -> bool:
    """Ask `cache.has_room` or `cache.make_room` about the missing features."""
    needed, keys = 0, set[str]()
    held_out = (run.as_served(), items.validation, {0: wanted[0]})
    for own, split, views in ((run, items.train, wanted), held_out):
        for (_, cut), table in find_tables(own, split, wanted=views, prefixes=prefixes).items():
            if len(table.missing):
                needed += math.ceil(len(table.missing) * item_bytes(own, split, cut))
        keys |= own.store.keys(prefixes, views, engines=own.list_engines())
    return needed == 0 or ask(run.store.folder, needed, keys, run.store.limit_bytes)
