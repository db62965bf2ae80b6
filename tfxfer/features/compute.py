"""Compute what frozen layers give, in one pass over the pictures for all cuts that lack it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import keras
import numpy as np
from rich.console import Console

from tfxfer.backbones.build import Backbone
from tfxfer.config import AugmentationConfig, FeaturesConfig
from tfxfer.data.pictures import Identity, PictureSet
from tfxfer.data.pipeline import make_view_batches
from tfxfer.features import store
from tfxfer.features.engines import BATCH, Engine, choose_engine
from tfxfer.features.split import Cut, build_prefix
from tfxfer.heads import Head
from tfxfer.progress import PictureBar

# Raised when a change to the code changes features.
_VERSION = 1

Tables = dict[tuple[int, Cut], store.Table]


@dataclass
class Clock:
    """Seconds that the frozen layers took: waiting for decoded pictures, and for the engine."""

    input_seconds: float = 0.0
    prefix_seconds: float = 0.0
    pictures: int = 0


class FrozenLayers:
    """Runs the frozen layers of one training run; the engine is chosen once, when one is needed.

    Args:
        augmentation: changes of all views but view 0, which shows the pictures as they are.
        seed: decides the changes.

    Attributes:
        clock: where the time went so far.
        engine: the last one that was used; None where all was stored already.
        notes: what was printed for the user.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: Head,
        augmentation: AugmentationConfig,
        config: FeaturesConfig,
        seed: int,
        console: Console,
    ):
        self.backbone, self.head = backbone, head
        self.augmentation, self.config, self.seed = augmentation, config, seed
        self.folder = store.cache_folder(config.cache_dir)
        self.console = console
        self.clock = Clock()
        self.engine: Engine | None = None
        self.notes: list[str] = []

    def find_tables(self, pictures: PictureSet, wanted: Mapping[int, Sequence[Cut]]) -> Tables:
        """Look up stored features: a table for each view and cut, which may miss pictures."""
        # Once for each cut: it hashes the weights.
        kinds = {cut: self._kind(cut) for cut in {c for cuts in wanted.values() for c in cuts}}
        identities = {view: self._identify(pictures, view) for view in wanted}
        tables = {
            (view, cut): store.look_up(self.folder, kinds[cut], identities[view])
            for view, cuts in wanted.items()
            for cut in cuts
        }
        if any(table.damaged for table in tables.values()):
            self.say("damaged files of stored features were removed; they are computed again")
        return tables

    def compute_tables(
        self,
        pictures: PictureSet,
        wanted: Mapping[int, Sequence[Cut]],
        split: str,
        engines: dict[tuple[Cut, ...], Engine] | None = None,
    ) -> Tables:
        """Store what is missing of some views and cuts, and give the tables of all.

        Args:
            wanted: the cuts of each view; a view's cuts are computed in one pass.
            split: its name, for the progress line.
            engines: engines of the layers as they are now, by cuts; those that are made for this
                are added.
        """
        engines = {} if engines is None else engines
        for view, cuts in wanted.items():
            found = self.find_tables(pictures, {view: cuts})
            lacking = tuple(cut for (_, cut), table in found.items() if table.missing.size)
            if lacking:
                missing = [found[view, cut].missing for cut in lacking]
                chosen = pictures.choose(np.unique(np.concatenate(missing)))
                if lacking not in engines:
                    sample = next(self._make_views(chosen, view))
                    engines[lacking] = self.make_engine(lacking, sample)
                label = f"{split} pictures, view {view}"
                try:
                    self._store_view(chosen, view, lacking, engines[lacking], label)
                except OverflowError:
                    self._store_view(chosen, view, lacking, engines[lacking], label, "float32")
        return self.find_tables(pictures, wanted)

    def key(self, cut: Cut) -> str:
        """Key under which features at a cut are stored."""
        return self._kind(cut).key

    def make_engine(self, cuts: Sequence[Cut], pictures: np.ndarray) -> Engine:
        """Make the layers below some cuts ready to run.

        Args:
            pictures: some of those that will be run, to compare the engine with Keras on.
        """
        start = time.monotonic()
        before = self.engine.name if self.engine else None
        prefix = build_prefix(self.backbone, self.head, cuts)
        engine, refused = choose_engine(prefix, pictures[:BATCH], self.config.engine, before)
        for line in refused:
            self.say(line)
        self.engine = engine
        self.clock.prefix_seconds += time.monotonic() - start
        return engine

    def run(self, engine: Engine, batches: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """Run an engine and keep the time: what is not waiting for pictures is the engine's."""
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
            self.console.print(f"[yellow]note[/] {note}")

    def _store_view(
        self,
        pictures: PictureSet,
        view: int,
        cuts: Sequence[Cut],
        engine: Engine,
        label: str,
        dtype: str | None = None,
    ) -> None:
        """Compute one view of some pictures and write a shard for each cut."""
        identities = self._identify(pictures, view)
        bar = PictureBar(label, len(identities), self.console)
        writers: list[Callable[[np.ndarray], None]] = []
        with ExitStack() as stack:
            stack.enter_context(bar)
            for parts in self.run(engine, self._make_views(pictures, view)):
                if not writers:
                    writers = [
                        stack.enter_context(
                            store.write_shard(
                                self.folder,
                                self._kind(cut),
                                identities,
                                dtype or store.choose_dtype(part),
                            )
                        )
                        for cut, part in zip(cuts, parts, strict=True)
                    ]
                for write, part in zip(writers, parts, strict=True):
                    write(part)
                bar.advance(len(parts[0]))

    def _kind(self, cut: Cut) -> store.Kind:
        """What the features at a cut are with the weights as they are now."""
        network = self.backbone.network
        frozen = self.backbone.blocks[: len(self.backbone.blocks) - cut.unfrozen]
        layers = [network.get_layer(name) for block in frozen for name in block.layers]
        arrays = [np.asarray(weight) for layer in layers for weight in layer.weights]
        weights = store.digest(*(array.tobytes() for array in arrays))
        poolings = [type(pooling).__name__ for pooling in self.head.poolings]
        facts = (
            _VERSION,
            keras.__version__,
            network.name,
            weights,
            cut,
            poolings,
            self.config.engine,
        )
        about = {"network": network.name, "cut": cut.name, "weights": weights[:8]}
        return store.Kind(store.digest(repr(facts)), cut.shape, about)

    def _identify(self, pictures: PictureSet, view: int) -> list[str]:
        """Name each picture's view; any change to it, or to how it is made, gives another name."""
        how = f"{view}|{self.seed}|{self.augmentation.model_dump_json()}" if view else "0"
        size = str(self.backbone.size_px)
        return [store.digest(item.name, item.stamp, size, how) for item in pictures.identities()]

    def _make_views(self, pictures: PictureSet, view: int) -> Iterator[np.ndarray]:
        """Decode one view of every picture, in batches."""
        size_px = self.backbone.size_px
        if view == 0:
            return iter(make_view_batches(pictures, size_px, BATCH).as_numpy_iterator())
        seeds = view_seeds(pictures.identities(), self.seed, view)
        dataset = make_view_batches(pictures, size_px, BATCH, self.augmentation, seeds)
        return iter(dataset.as_numpy_iterator())


def view_seeds(identities: Sequence[Identity], seed: int, view: int) -> np.ndarray:
    """``[pictures, 2]`` int64: the same picture, seed and view give the same changes anywhere."""
    digests = [store.digest(item.name, str(seed), str(view)) for item in identities]
    return np.frombuffer(bytes.fromhex("".join(digests)), np.int64).reshape(-1, 2)
