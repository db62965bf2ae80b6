"""What a config stands for: its pictures and its network, and the plan that they make."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
from rich.console import Console

from tfxfer.backbones.blocks import resolve_unfreeze
from tfxfer.backbones.build import build_backbone
from tfxfer.backbones.levels import add_levels
from tfxfer.cache.folder import locate
from tfxfer.config.config import Config
from tfxfer.config.phases import ResolvedPhase
from tfxfer.data.items import PictureData
from tfxfer.features.frozen import FrozenLayers
from tfxfer.machine import runtime
from tfxfer.machine.devices import make_deterministic
from tfxfer.machine.processes import ALONE, Share
from tfxfer.machine.progress import counting_pictures
from tfxfer.machine.strategy import check_splits, divide_batch, spread
from tfxfer.notes import list_notes
from tfxfer.phases.estimate import check_memory, plan_phase
from tfxfer.phases.memory import memory_errors
from tfxfer.phases.precision import skip_trial
from tfxfer.phases.schedules import resolve_phase
from tfxfer.records.plans import PhasePlan, Plan
from tfxfer.report.console import print_plan
from tfxfer.sources.sources import load_data
from tfxfer.tasks.balance import note_imbalance
from tfxfer.tasks.heads import build_head
from tfxfer.tasks.labels import count_classes
from tfxfer.tasks.objective import Objective, make_objective
from tfxfer.teacher import add_teacher


@dataclass(frozen=True)
class Job:
    """What a config stands for once pictures and network are loaded.

    Attributes:
        batch_size: of all devices together.
        share: what this process has of it.
    """

    pictures: PictureData
    layers: FrozenLayers
    phases: tuple[ResolvedPhase, ...]
    batch_size: int
    objective: Objective
    share: Share = ALONE

    @property
    def own_batch_size(self) -> int:
        """Pictures of a batch that come from this process."""
        return self.batch_size // self.share.count

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches: as many as the process with the fewest pictures can fill."""
        fewest = len(self.pictures.train.labels) // self.share.count
        return max(1, fewest // self.own_batch_size)

    def own_pictures(self) -> PictureData:
        """The pictures that this process trains with and validates on."""
        pictures, part_of = self.pictures, self.share.part_of
        train, validation = part_of(pictures.train), part_of(pictures.validation)
        return replace(pictures, train=train, validation=validation)


def choose_devices(config: Config) -> Share:
    """What this process has of a run; to be asked before anything is built."""
    if config.deterministic:
        make_deterministic()  # XLA asks for it once, when it finds its devices
    return spread(config.devices.strategy)


def prepare(
    config: Config,
    console: Console,
    pictures: PictureData | None = None,
    share: Share = ALONE,
) -> Job:
    """Load the pictures, unless they are, and build the network and its head."""
    if pictures is None:
        pictures = load_pictures(config, console, share=share)
    return make_job(config, add_teacher(pictures, config, console), console, share)


def load_pictures(
    config: Config, console: Console, keeps: bool = True, share: Share = ALONE
) -> PictureData:
    """Load the pictures, and say how far it is.

    Args:
        keeps: remember for the next run what was seen of pictures.
        share: what this process has of the run.
    """
    folder = locate(config.features.cache_dir) if keeps else None
    with counting_pictures(console, "Reading and checking the pictures") as show:
        # Where pictures may not be flipped, mirror images are other things, such as letters.
        return load_data(config.data, config.seed, folder, show, config.augmentation.flip, share)


def make_job(config: Config, pictures: PictureData, console: Console, share: Share = ALONE) -> Job:
    """Build the network and its head for some pictures.

    Args:
        share: what this process has of the run.

    Raises:
        InputError: the config does not go with the pictures or the network.
    """
    if config.deterministic:
        make_deterministic()
    check_splits(pictures.counts, share)
    objective = make_objective(pictures, config.data.balance, config.data.train_on_validation)
    # Not earlier: preparing a data set draws random numbers as well.
    keras.utils.set_random_seed(config.seed)
    with console.status("Building the network"):
        backbone = add_levels(build_backbone(config.backbone), config.head.levels)
    head = build_head(config.head, len(pictures.classes), config.seed, pictures.has_several)
    layers = FrozenLayers(
        backbone,
        head,
        config.augmentation,
        config.features,
        config.seed,
        console,
        pictures.source,
    )
    if config.deterministic:
        layers.skip_trial()
    count = len(pictures.train.labels)
    policy = config.augmentation.policy
    phases = tuple(resolve_phase(phase, count, policy) for phase in config.phases)
    if config.deterministic:
        phases = tuple(skip_trial(phase) for phase in phases)
    size = divide_batch(config.data.batch_size, count, share)
    if size < min(config.data.batch_size, count):
        layers.say(f"batches of {size} pictures, since {share.devices} devices have equal parts")
    return Job(pictures, layers, phases, size, objective, share)


def make_plan(config: Config, job: Job, is_timed: bool = False) -> Plan:
    """Say what the run will do, and refuse what cannot be done, before anything is written.

    Timing runs a few training steps: the job is of no other use afterwards.

    Raises:
        InputError: a phase does not fit the backbone, or a batch does not fit in memory.
    """
    pictures, backbone = job.pictures, job.layers.backbone
    phases: list[PhasePlan] = []
    for phase in job.phases:
        at_hand = int(any(earlier.views for earlier in phases))
        unfrozen = resolve_unfreeze(phase.unfreeze, backbone.blocks)
        has_changed = any(len(earlier.unfrozen) > unfrozen for earlier in phases)
        phases.append(
            plan_phase(
                job.layers,
                pictures,
                phase,
                job.batch_size,
                at_hand,
                has_changed,
                is_timed,
                job.objective,
            )
        )
    available = None if runtime.has_accelerator() else runtime.available_memory_bytes()
    for planned in phases:
        if available is not None:
            check_memory(backbone, len(planned.unfrozen), job.batch_size, available)
    counts = count_classes(pictures.train.labels, len(pictures.classes))
    class_counts = dict(zip(pictures.classes, map(int, counts), strict=True))
    imbalance = [] if pictures.has_several else note_imbalance(class_counts, config.data.balance)
    return Plan(
        source=pictures.source,
        counts=pictures.counts,
        class_counts=class_counts,
        backbone=_describe(config),
        weights=config.backbone.weights,
        image_size_px=backbone.size_px,
        parameters=backbone.network.count_params(),
        blocks=tuple((block.name, block.parameters) for block in backbone.blocks),
        phases=tuple(phases),
        notes=(
            *pictures.notes,
            *backbone.notes,
            *list_notes(config, job.phases),
            *imbalance,
        ),
    )


def dry_run(config: Config, console: Console) -> Plan:
    """Print the plan with a timed estimate; train and store nothing."""
    share = choose_devices(config)
    with share.scope(), memory_errors(config.data.batch_size):
        job = prepare(config, console, load_pictures(config, console, keeps=False), share)
        with console.status("Timing a few steps"):
            plan = make_plan(config, job, is_timed=True)
    print_plan(console, plan, with_blocks=True)
    return plan


def _describe(config: Config) -> str:
    alpha = config.backbone.alpha
    return config.backbone.name if alpha is None else f"{config.backbone.name} (alpha {alpha:g})"
