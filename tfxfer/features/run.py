"""The parts with which a run computes features, in one object for all functions of the room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from tfxfer.backbones.backbone import Backbone
from tfxfer.cache.folder import locate
from tfxfer.config.augmentation import Augmentation
from tfxfer.config.features import FeaturesConfig
from tfxfer.features.choose_engine import Reference
from tfxfer.features.cut import Cut
from tfxfer.features.engines import Engine, check_installed
from tfxfer.features.fingerprint import hash_prefix
from tfxfer.features.network import FrozenNetwork
from tfxfer.features.recorder import Recorder
from tfxfer.features.store.feature_store import FeatureStore
from tfxfer.features.trials import Trial, place_of, read_trial, write_trial
from tfxfer.machine.processes import Share
from tfxfer.modality import Modality
from tfxfer.task import Head


@dataclass(frozen=True)
class Prefixes:
    """The layers below some cuts, with the weights that a phase starts with.

    Attributes:
        network: The name of the network.
        hashes: The hash of the layers below each cut.
        augmentation: The phase's changes of all views except view 0, which shows the items as
            they are.
        seed: The seed that decides these changes.
        engines: The engines that are ready to run, by their names and the cuts of a pass.
    """

    network: str
    hashes: dict[Cut, str]
    augmentation: Augmentation
    seed: int
    engines: dict[tuple[str | None, tuple[Cut, ...]], Engine] = field(default_factory=dict)

    def describe_changes(self, view: int) -> str:
        """Say what is changed in the items of a view, and by which seed."""
        changes = self.augmentation.describe() if view else "none"
        return changes if changes == "none" else f"seed {self.seed}, {changes}"


@dataclass(frozen=True)
class FeatureRun:
    """The parts that compute, find and feed the features of one run.

    Attributes:
        network: The network that gives the features.
        store: The store that keeps them.
        recorder: The recorder of both.
        modality: The kind of the items.
        augmentation: The changes of the items; a phase may take another policy.
        seed: The seed that decides the changes, and the order of training.
        share: The part of the run that this process does. Features are stored if all processes
            have room for them, and each process is fed its own.
        references: The layers below the cuts of the last pass that needed an engine, with Keras's
            features of some items, by these cuts and the hashes of their layers.
    """

    network: FrozenNetwork
    store: FeatureStore
    recorder: Recorder
    modality: Modality
    augmentation: Augmentation
    seed: int
    share: Share
    references: dict[tuple[tuple[Cut, str], ...], Reference] = field(default_factory=dict)

    def make_engine(
        self,
        cuts: Sequence[Cut],
        prefixes: Prefixes,
        sample: Callable[[], np.ndarray],
        stored_by: str | None = None,
    ) -> Engine:
        """Make the layers below some cuts ready to run, by the engine of an earlier run if it can.

        Args:
            prefixes: The layers below all these cuts.
            sample: A function that gives some of the items that will be run.
            stored_by: The same as in `FrozenNetwork.make_engine`.
        """
        return self.network.make_engine(
            self._refer(cuts, prefixes, sample),
            recorder=self.recorder,
            stored_by=stored_by,
            known=self.find_trial(cuts, prefixes),
        )

    def keep_trial(self, engine: Engine, cuts: Sequence[Cut], prefixes: Prefixes) -> None:
        """Keep which engine was chosen for the layers below some cuts, for later runs."""
        if Trial.of(engine) != self.find_trial(cuts, prefixes):
            write_trial(self._place_of_trial(cuts, prefixes), Trial.of(engine))

    def find_trial(self, cuts: Sequence[Cut], prefixes: Prefixes) -> Trial | None:
        """Return the outcome of an earlier comparison of engines for the layers below some cuts."""
        return read_trial(self._place_of_trial(cuts, prefixes))

    def _place_of_trial(self, cuts: Sequence[Cut], prefixes: Prefixes) -> Path:
        hashes = [prefixes.hashes[cut] for cut in cuts]
        network = self.network
        return place_of(self.store.folder, hashes, network.candidates(), wanted=network.engine)

    def _refer(
        self, cuts: Sequence[Cut], prefixes: Prefixes, sample: Callable[[], np.ndarray]
    ) -> Reference:
        """Return the layers below some cuts, built once as long as their weights do not change."""
        wanted = [(cut, prefixes.hashes[cut]) for cut in cuts]
        for known, reference in self.references.items():
            if known == tuple(wanted):
                return reference
            if set(wanted) <= set(known):
                return reference.narrow([known.index(each) for each in wanted])
        self.references.clear()
        self.references[tuple(wanted)] = self.network.refer(cuts, sample)
        return self.references[tuple(wanted)]

    def hash_prefixes(self, cuts: Iterable[Cut], policy: str | None = None) -> Prefixes:
        """Hash the layers below some cuts as they are now.

        Args:
            policy: The augmentation policy of the phase that starts with them; None takes that of
                the run.
        """
        backbone, head = self.network.backbone, self.network.head
        hashes = {cut: hash_prefix(backbone, head, cut) for cut in set(cuts)}
        return Prefixes(backbone.network.name, hashes, self.augmentation.under(policy), self.seed)

    def as_served(self) -> FeatureRun:
        """Return the run with features as the served model computes them, stored in float32.

        Validation is read so: what it chooses (an epoch, a penalty, a depth, a temperature) is
        chosen by the figures of the model that is kept.
        """
        return replace(
            self,
            network=replace(self.network, is_served=True),
            store=replace(self.store, dtype="float32"),
            recorder=replace(self.recorder, engine_name=None, engine_error=None),
        )

    def list_engines(self) -> tuple[str, ...]:
        """Return the engines whose features can be used: only one, once the run has chosen it."""
        return self.network.list_engines(self.recorder)

    def skip_timing(self) -> None:
        """Take the first engine that can be used, because timings would make the choice random."""
        self.recorder.engine_name = self.list_engines()[0]


def make_feature_run(
    backbone: Backbone,
    head: Head,
    *,
    config: FeaturesConfig,
    modality: Modality,
    augmentation: Augmentation,
    seed: int,
    console: Console,
    share: Share,
    source: str = "",
) -> FeatureRun:
    """Put together the parts of a feature run; the other arguments are as in its attributes.

    Args:
        config: The engine, and the folder and the largest size of the store.
        source: Where the items come from; those of each source are stored by themselves.

    Raises:
        InputError: The engine is not installed, or does not work with Keras's backend.
    """
    if config.engine != "auto":
        check_installed(config.engine)
    return FeatureRun(
        FrozenNetwork(backbone, head, config.engine),
        FeatureStore(locate(config.cache_dir), source, config.max_disk_gb),
        Recorder(console, None if config.engine == "auto" else config.engine),
        modality=modality,
        augmentation=augmentation,
        seed=seed,
        share=share,
    )
