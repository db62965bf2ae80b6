"""The store of one run, which makes the keys of its features and looks the features up."""

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
    """The layers and changes that decide an item's features, besides the engine; see `Prefixes`."""

    @property
    def network(self) -> str: ...

    @property
    def hashes(self) -> Mapping[Cut, str]: ...

    def describe_changes(self, view: int) -> str:
        """Say what is changed in the items of a view, and by which seed."""


@dataclass(frozen=True)
class FeatureStore:
    """The place where the features of a run are stored.

    Attributes:
        folder: The cache.
        source: Where the items come from; those of each source are stored by themselves.
        limit_gb: The most gigabytes that the cache may hold; None takes its share of disk and
            memory.
        dtype: The type in which features are stored, a key of `shards.DTYPES`; None takes the
            smallest one whose rounding errors are harmless.
    """

    folder: Path
    source: str = ""
    limit_gb: float | None = None
    dtype: str | None = None

    @property
    def limit_bytes(self) -> int | None:
        """The most bytes that the cache may hold; None takes its share of disk and memory."""
        return None if self.limit_gb is None else int(self.limit_gb * _GIGABYTE)

    def kind(self, cut: Cut, view: int, *, engine: str, origin: Origin) -> Kind:
        """Return the kind of the features that an engine computes of a view at a cut."""
        changes = origin.describe_changes(view)
        stored = [self.dtype] if self.dtype else []
        key = digest(origin.hashes[cut], describe_engine(engine), self.source, changes, *stored)
        about = {
            "network": origin.network,
            "cut": cut.name,
            "source": self.source,
            "engine": engine,
            "changes": changes,
        }
        return Kind(key, cut.shape, about)

    def keys(self, origin: Origin, views: Iterable[int], *, engines: Iterable[str]) -> set[str]:
        """Return the keys under which views are stored, with each of the engines."""
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
        """Look up the features that an engine has stored of some views and cuts.

        Args:
            wanted: The cuts of each view.
            names: The names of the items in each view.
        """
        return {
            (view, cut): look_up(
                self.folder, self.kind(cut, view, engine=engine, origin=origin), names[view]
            )
            for view, cuts in wanted.items()
            for cut in cuts
        }
