"""The loading of the items that a config names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tfxfer.config.data import DataConfig
from tfxfer.data.audit import audit_listing
from tfxfer.data.items import ItemData
from tfxfer.data.joined import join_validation
from tfxfer.data.make import make_data
from tfxfer.kinds import TASKS
from tfxfer.machine.processes import ALONE, Share
from tfxfer.sources.sources import _EMBEDDED, list_items


def load_data(
    config: DataConfig,
    seed: int,
    *,
    cache: Path | None = None,
    show: Callable[[int, int], None] = lambda done, total: None,
    mirrored: bool = True,
    share: Share = ALONE,
    keeps: bool = True,
) -> ItemData:
    """Load the items that a config names, with all three splits; look at each of them first.

    Args:
        config: The settings, whose ``source`` is one of `config.places.SOURCES`.
        seed: The seed that decides which items missing splits get.
        cache: the folder of the cache, in which archives are unpacked and what is seen of items is
            kept; None: archives are unpacked where it lies by default, and nothing is kept.
        show, mirrored, share: The same as in `audit_listing`.
        keeps: Whether the looks at items are kept in the cache.

    Raises:
        InputError: No source is named, or it cannot be used.
    """
    listing = list_items(config, TASKS, cache)
    # This package draws the birds, and all are different: a look would find nothing, and take
    # seconds of a run that takes less than a minute.
    is_drawn = str(config.source).startswith(_EMBEDDED)
    kept_in = cache if keeps else None
    audit = None if is_drawn else audit_listing(listing, mirrored, kept_in, show, share)
    data = make_data(listing, audit, config, seed)
    return join_validation(data) if config.split.train_on_validation else data
