"""The frozen layers of a run: which they are, what runs them, and where the time goes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.markup import escape

from tfxfer.backbones.backbone import Backbone
from tfxfer.cache.digest import digest
from tfxfer.cache.folder import locate
from tfxfer.config.augmentation import Augmentation
from tfxfer.config.features import FeaturesConfig
from tfxfer.errors import first_line
from tfxfer.features.choose_engine import choose_engine
from tfxfer.features.cut import Cut, build_prefix
from tfxfer.features.engines import (
    BATCH,
    Engine,
    check_installed,
    describe_engine,
    list_candidates,
)
from tfxfer.features.fingerprint import hash_prefix
from tfxfer.features.store import shards
from tfxfer.kinds import MODALITIES
from tfxfer.modality import Modality
from tfxfer.tasks.heads import Head


@dataclass
class Clock:
    """Seconds that frozen layers took: waiting for decoded pictures, and for the engine."""

    input_seconds: float = 0.0
    prefix_seconds: float = 0.0
    pictures: int = 0


@dataclass(frozen=True)
class Prefixes:
    """The layers below some cuts, with the weights of one moment: those that a phase starts with.

    Attributes:
        hashes: of the layers below each cut.
        augmentation: the phase's changes of all views but view 0, which shows the pictures as
            they are.
        engines: what was made ready to run so far, by the cuts of a pass.
    """

    hashes: dict[Cut, str]
    augmentation: Augmentation
    engines: dict[tuple[Cut, ...], Engine] = field(default_factory=dict)


class FrozenLayers:
    """Runs the frozen layers of one training run; the engine is chosen once, when one is needed.

    Args:
        augmentation: changes of the pictures; a phase may take another policy.
        seed: decides the changes.
        source: where the pictures come from; those of each source are stored by themselves.
        modality: what the items are.

    Attributes:
        clock: where the time went so far.
        engine_name: what gave the features, now or when they were stored; None before the first.
        notes: what was printed for the user.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: Head,
        augmentation: Augmentation,
        config: FeaturesConfig,
        seed: int,
        console: Console,
        source: str = "",
        modality: Modality = MODALITIES["pictures"],
    ):
        if config.engine != "auto":
            check_installed(config.engine)
        self.backbone, self.head = backbone, head
        self.augmentation, self.config, self.seed = augmentation, config, seed
        self.folder = locate(config.cache_dir)
        self.console, self.source, self.modality = console, source, modality
        self.clock = Clock()
        self.engine_name: str | None = None if config.engine == "auto" else config.engine
        self.notes: list[str] = []

    def skip_trial(self) -> None:
        """Take the first engine that can be used: which one is the fastest is left to chance."""
        self.engine_name = self.engine_names()[0]

    def hash_prefixes(self, cuts: Iterable[Cut], policy: str | None = None) -> Prefixes:
        """Take the layers below some cuts as they are now.

        Args:
            policy: of the phase that starts with them; None: that of the run.
        """
        hashes = {cut: hash_prefix(self.backbone, self.head, cut) for cut in set(cuts)}
        return Prefixes(hashes, self.augmentation.under(policy))

    def make_engine(
        self, cuts: Sequence[Cut], pictures: np.ndarray, stored_by: str | None = None
    ) -> Engine:
        """Make the layers below some cuts ready to run.

        Args:
            stored_by: the engine that has stored other features of theirs; ``"auto"`` takes it
                again, where it agrees.
            pictures: ``[pictures, size, size, 3]`` float32, some of those that will be run, to
                compare the engine with Keras on.
        """
        start = time.monotonic()
        before = (self.engine_name or stored_by) if self.config.engine == "auto" else None
        prefix = build_prefix(self.backbone, self.head, cuts)
        engine, refused = choose_engine(prefix, pictures[:BATCH], self.config.engine, before)
        for line in refused:
            self.say(line)
        self.engine_name = engine.name
        self.clock.prefix_seconds += time.monotonic() - start
        return engine

    def run(self, engine: Engine, batches: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """Run an engine and keep the time: what is not waiting for pictures is the engine's.

        Args:
            batches: pictures ``[batch, size, size, 3]`` float32, at most `BATCH` each.

        Returns:
            Features ``[batch, …]`` float32 by cut, for each batch in its order.
        """
        waited = 0.0

        def timed() -> Iterator[np.ndarray]:
            nonlocal waited
            iterator = iter(batches)
            while True:
                start = time.monotonic()
                batch = next(iterator, None)
                waited += time.monotonic() - start
                if batch is None:
                    return
                self.clock.pictures += len(batch)
                yield batch

        results = engine.run(timed())
        while True:
            start, before = time.monotonic(), waited
            result = next(results, None)
            waiting = waited - before
            self.clock.input_seconds += waiting
            self.clock.prefix_seconds += time.monotonic() - start - waiting
            if result is None:
                return
            yield result

    def say(self, note: str) -> None:
        """Print a note once, and keep it."""
        if note not in self.notes:
            self.notes.append(note)
            self.console.print(f"[yellow]note[/] {escape(note)}")

    def engine_names(self) -> tuple[str, ...]:
        """Engines whose features will do; one, as soon as a run has taken it."""
        if self.engine_name:
            return (self.engine_name,)
        usable = []
        for name in list_candidates():
            try:
                describe_engine(name)
            except Exception as failure:  # whatever a broken installation does
                self.say(f"engine {name} cannot be used here ({first_line(failure)})")
            else:
                usable.append(name)
        return tuple(usable)

    def kind(self, cut: Cut, view: int, engine_name: str, prefixes: Prefixes) -> shards.Kind:
        """What the features of a view at a cut are, as this engine gives them."""
        changes = prefixes.augmentation.describe() if view else "none"
        if changes != "none":
            changes = f"seed {self.seed}, {changes}"
        key = digest(prefixes.hashes[cut], describe_engine(engine_name), self.source, changes)
        about = {
            "network": self.backbone.network.name,
            "cut": cut.name,
            "source": self.source,
            "engine": engine_name,
            "changes": changes,
        }
        return shards.Kind(key, cut.shape, about)

    def keys(self, prefixes: Prefixes, views: Iterable[int]) -> set[str]:
        """Keys under which views of these layers are stored, by whatever engine may be taken."""
        return {
            self.kind(cut, view, name, prefixes).key
            for cut in prefixes.hashes
            for view in views
            for name in self.engine_names()
        }
