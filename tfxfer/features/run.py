"""The parts with which a run computes features, in one object for all functions of the room."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Console

from tfxfer.backbones.backbone import Backbone
from tfxfer.cache.folder import locate
from tfxfer.config.augmentation import Augmentation
from tfxfer.config.features import FeaturesConfig
from tfxfer.features.cut import Cut
from tfxfer.features.engines import Engine, check_installed
from tfxfer.features.fingerprint import hash_prefix
from tfxfer.features.network import FrozenNetwork, list_engines
from tfxfer.features.recorder import Recorder
from tfxfer.features.store.feature_store import FeatureStore
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
        engines: The engines that are ready to run, by the cuts of a pass.
    """

    network: str
    hashes: dict[Cut, str]
    augmentation: Augmentation
    seed: int
    engines: dict[tuple[Cut, ...], Engine] = field(default_factory=dict)

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
    """

    network: FrozenNetwork
    store: FeatureStore
    recorder: Recorder
    modality: Modality
    augmentation: Augmentation
    seed: int
    share: Share

    def hash_prefixes(self, cuts: Iterable[Cut], policy: str | None = None) -> Prefixes:
        """Hash the layers below some cuts as they are now.

        Args:
            policy: The augmentation policy of the phase that starts with them; None takes that of
                the run.
        """
        backbone, head = self.network.backbone, self.network.head
        hashes = {cut: hash_prefix(backbone, head, cut) for cut in set(cuts)}
        return Prefixes(backbone.network.name, hashes, self.augmentation.under(policy), self.seed)

    def skip_timing(self) -> None:
        """Take the first engine that can be used, because timings would make the choice random."""
        self.recorder.engine_name = list_engines(self.recorder)[0]


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
