"""The job of a run: the items and the network that a config names."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
from rich.console import Console

from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.build import build_backbone
from tfxfer.backbones.levels import add_levels
from tfxfer.backbones.weights import check_weights
from tfxfer.cache.folder import locate
from tfxfer.config.config import Config
from tfxfer.config.phases import ResolvedPhase
from tfxfer.data.items import ItemData
from tfxfer.features.batches import Batching
from tfxfer.features.cut import Cut
from tfxfer.features.run import FeatureRun, make_feature_run
from tfxfer.machine.devices import make_deterministic
from tfxfer.machine.processes import Share
from tfxfer.machine.progress import counting_items
from tfxfer.machine.stages import Stages
from tfxfer.machine.strategy import check_splits, divide_batch, spread
from tfxfer.phases.parts import PhaseParts
from tfxfer.phases.precision import skip_timing
from tfxfer.phases.schedules import resolve_phase
from tfxfer.task import Head, Objective
from tfxfer.training.load import load_data
from tfxfer.training.teacher import add_teacher


@dataclass(frozen=True)
class Job:
    """What a config stands for once items and network are loaded.

    Attributes:
        features: The frozen network of the run, its feature store and its recorder.
        head: The head on that network.
        batch_size: The number of items in a batch of all devices together.
    """

    items: ItemData
    features: FeatureRun
    head: Head
    phases: tuple[ResolvedPhase, ...]
    batch_size: int
    objective: Objective

    @property
    def backbone(self) -> Backbone:
        """The network that is cut."""
        return self.features.network.backbone

    @property
    def share(self) -> Share:
        """What this process has of the run."""
        return self.features.share

    @property
    def batching(self) -> Batching:
        """How the examples of this process are put into batches."""
        return Batching(self.own_batch_size, self.steps_per_epoch, self.objective.draws_evenly)

    @property
    def own_batch_size(self) -> int:
        """The number of items of a batch that come from this process."""
        return self.batch_size // self.share.count

    @property
    def steps_per_epoch(self) -> int:
        """The number of whole batches that the process with the fewest items can fill."""
        fewest = len(self.items.train.labels) // self.share.count
        return max(1, fewest // self.own_batch_size)

    def parts(self, position: int, cut: Cut) -> PhaseParts:
        """Return what the phase at a position trains, whose frozen layers end at a cut."""
        return PhaseParts(self.phases[position], self.backbone, self.head, cut, self.objective)

    def own_items(self) -> ItemData:
        """Return the items that this process trains with and validates on."""
        items, part_of = self.items, self.share.part_of
        train, validation = part_of(items.train), part_of(items.validation)
        return replace(items, train=train, validation=validation)


def choose_devices(config: Config) -> Share:
    """Choose the devices of a run, before anything is built; return this process's part of it."""
    if config.deterministic:
        make_deterministic()  # XLA reads this once, when it looks for its devices.
    return spread(config.devices.strategy)


def prepare(
    config: Config,
    console: Console,
    items: ItemData | None = None,
    keeps: bool = True,
    *,
    share: Share,
    stages: Stages | None = None,
) -> Job:
    """Load the items unless they are given, and build the network and its head.

    Args:
        keeps: Whether the looks at items are kept for the next run.
        share: The part of the run that this process does.
        stages: The clock of the run, which is told when the items are loaded and the network built.
    """
    stages = stages or Stages()
    if items is None:
        check_weights(config.backbone)  # It may take long to load the items.
        items = load_items(config, console, keeps, share=share)
    stages.end(items.modality.name)
    job = make_job(config, add_teacher(items, config, console), console, share=share)
    stages.end("network")
    return job


def load_items(config: Config, console: Console, keeps: bool = True, *, share: Share) -> ItemData:
    """Load the items, and show the progress.

    Args:
        keeps: Whether the looks at items are kept for the next run.
        share: The part of the run that this process does.
    """
    folder, mirrored = locate(config.features.cache_dir), config.augmentation.mirrors
    with counting_items(console, "Reading and checking the pictures") as show:
        # If items may not be flipped, their mirror images show other things, as with letters.
        return load_data(
            config.data,
            config.seed,
            cache=folder,
            show=show,
            mirrored=mirrored,
            share=share,
            keeps=keeps,
        )


def make_job(config: Config, items: ItemData, console: Console, *, share: Share) -> Job:
    """Build the network and its head for some items.

    Args:
        share: The part of the run that this process does.

    Raises:
        InputError: The config does not fit the items or the network.
    """
    if config.deterministic:
        make_deterministic()
    check_splits(items.counts, share)
    task, class_count = items.task, len(items.classes)
    objective = task.make_objective(
        items.train.labels,
        class_count,
        balance=config.data.balance,
        keeps_last=config.data.split.train_on_validation,
        source=items.source,
    )
    # The seed is set here and not earlier, because preparing a data set also draws random numbers.
    keras.utils.set_random_seed(config.seed)
    with console.status("Building the network"):
        backbone = add_levels(build_backbone(config.backbone, items.modality), config.head.levels)
    head = task.build_head(config.head, class_count, seed=config.seed)
    features = make_feature_run(
        backbone,
        head,
        config=config.features,
        modality=items.modality,
        augmentation=config.augmentation,
        seed=config.seed,
        console=console,
        share=share,
        source=items.source,
    )
    if config.deterministic:
        features.skip_timing()
    count = len(items.train.labels)
    policy = config.augmentation.policy
    phases = tuple(
        resolve_phase(phase, count, blocks=backbone.blocks, policy=policy)
        for phase in config.phases
    )
    if config.deterministic:
        phases = tuple(skip_timing(phase) for phase in phases)
    size = divide_batch(config.data.batch_size, count, share)
    if size < min(config.data.batch_size, count):
        features.recorder.say(
            f"batches of {size} pictures, since {share.devices} devices have equal parts"
        )
    return Job(items, features, head, phases, size, objective)
