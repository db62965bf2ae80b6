"""The store of one run: under which keys its features lie, and where they are looked up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tfxfer.cache.digest import digest
from tfxfer.features.cut import Cut
from tfxfer.features.engines import describe_engine
from tfxfer.features.store.shards import Kind
from tfxfer.features.store.table import Table, look_up

_GIGABYTE = 10**9


class Origin(Protocol):
    """What decides the features of an item, besides the engine: see `Prefixes`."""

    @property
    def network(self) -> str: ...

    @property
    def hashes(self) -> Mapping[Cut, str]: ...

    def describe_changes(self, view: int) -> str:
        """Say what is changed in the items of a view, and by which seed."""


@dataclass(frozen=True)
class FeatureStore:
    """Where the features of a run are stored.

    Attributes:
        folder: the cache.
        source: where the items come from; those of each source are stored by themselves.
        limit_gb: most gigabytes that the cache may come to; None: its share of disk and memory.
    """

    folder: Path
    source: str = ""
    limit_gb: float | None = None

    @property
    def limit_bytes(self) -> int | None:
        """Most bytes that the cache may come to."""
        return None if self.limit_gb is None else int(self.limit_gb * _GIGABYTE)

    def kind(self, cut: Cut, view: int, *, engine: str, origin: Origin) -> Kind:
        """Say what the features of a view at a cut are, as an engine gives them."""
        changes = origin.describe_changes(view)
        key = digest(origin.hashes[cut], describe_engine(engine), self.source, changes)
        about = {
            "network": origin.network,
            "cut": cut.name,
            "source": self.source,
            "engine": engine,
            "changes": changes,
        }
        return Kind(key, cut.shape, about)

    def keys(self, origin: Origin, views: Iterable[int], *, engines: Iterable[str]) -> set[str]:
        """List the keys under which views are stored, by whichever of the engines may be taken."""
        return {
            self.kind(cut, view, engine=engine, origin=origin).key
            for engine in engines
            for view in views
            for cut in origin.hashes
        }

    def look_up(
        self, wanted: Mapping[int, Sequence[Cut]], names: Mapping[int, Sequence[str]], *,
        engine: str, origin: Origin,
    ) -> dict[tuple[int, Cut], Table]:  # fmt: skip
        """Look up what an engine has stored of some views and cuts.

        Args:
            wanted: the cuts of each view.
            names: of the items, as each view shows them.
        """
        return {
            (view, cut): look_up(
                self.folder, self.kind(cut, view, engine=engine, origin=origin), names[view]
            )
            for view, cuts in wanted.items()
            for cut in cuts
        }
