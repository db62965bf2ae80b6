"""The main path: pictures → backbone → phases → one look at the test split → export."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
from rich.console import Console

from tfxfer import run, runtime
from tfxfer.backbones.blocks import resolve_unfreeze
from tfxfer.backbones.build import build_backbone
from tfxfer.backbones.levels import add_levels
from tfxfer.config import Config, ResolvedPhase
from tfxfer.data.labels import count_classes
from tfxfer.data.pictures import PictureData
from tfxfer.data.sources import load_data
from tfxfer.devices import make_deterministic
from tfxfer.distribution import ALONE, Share, divide_batch, loss_of_others, spread
from tfxfer.export.saved_model import export_saved_model
from tfxfer.features import cache
from tfxfer.features.feed import make_phase_data
from tfxfer.features.frozen import FrozenLayers
from tfxfer.features.split import PICTURES, Cut
from tfxfer.heads import build_head, build_model
from tfxfer.judge import judge
from tfxfer.notes import list_notes
from tfxfer.phases.balance import note_imbalance
from tfxfer.phases.estimate import check_memory, plan_phase
from tfxfer.phases.fit import fit_phase
from tfxfer.phases.memory import memory_errors
from tfxfer.phases.objective import Objective, make_objective
from tfxfer.phases.precision import skip_trial
from tfxfer.phases.schedules import resolve_phase
from tfxfer.phases.span import WHOLE, Span
from tfxfer.progress import counting_pictures
from tfxfer.records import PhasePlan, PhaseResult, Plan, RunResult
from tfxfer.report.console import print_phase, print_plan, print_result
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


def run_training(
    config: Config,
    folder: Path,
    console: Console,
    overwrite: bool = False,
    watch: Callable[[keras.Model], None] | None = None,
    pictures: PictureData | None = None,
) -> RunResult:
    """Train, evaluate, export, and put the run folder in its place when all is done.

    The validation split chooses the epochs; the test split is read once, at the end.

    Args:
        watch: is called after each epoch, and after each phase, with the whole model, from
            pictures to probabilities.
        pictures: those of `config`, where they are loaded already.

    Raises:
        InputError: the config cannot be carried out on its pictures; no folder is left then.
        ExportMismatchError: the exported model differs from the trained one.
    """
    started = time.monotonic()
    results: list[PhaseResult] = []
    share = spread(config.devices.strategy)
    with (
        run.staged(folder, overwrite) if share.is_first else run.scratch() as staging,
        memory_errors(config.data.batch_size),
        loss_of_others(share),
    ):
        with share.scope():
            job = prepare(config, console, pictures, share)
            plan = make_plan(config, job)
            print_plan(console, plan, with_blocks=False)
            model = build_model(job.layers.backbone, job.layers.head)
            logs = staging / run.TENSORBOARD
            after_epoch = partial(watch, model) if watch else None
            for position in range(len(job.phases)):
                results.append(train_phase(job, position, results, logs, console, after_epoch))
                print_phase(console, results[-1])
                if watch:
                    watch(model)
            pictures, classes = job.pictures, job.pictures.classes
            # Of pictures that were trained on, the model is too sure.
            calibrates = config.calibrate and not config.data.train_on_validation
            with console.status("Evaluating"):
                validation, test, calibration = judge(model, pictures, calibrates, share)
        with console.status("Exporting"):
            model.save(staging / run.MODEL)
            exported = export_saved_model(model, classes, staging / run.EXPORT, pictures.validation)
        result = RunResult(
            path=folder,
            classes=classes,
            plan=replace(plan, notes=(*plan.notes, *job.layers.notes)),
            phases=tuple(results),
            validation=validation,
            test=test,
            exported=replace(exported, path=folder / run.EXPORT),
            total_parameters=model.count_params(),
            engine=job.layers.engine_name if any(p.cut != PICTURES for p in results) else None,
            seed=config.seed,
            seconds=time.monotonic() - started,
            versions=runtime.list_versions(),
            device=runtime.describe_device(),
            quarantined=pictures.quarantined,
            calibration=calibration,
        )
        run.write_config(staging, _with_choices(config, result))
        run.write_result(staging, result)
    print_result(console, result)
    return result


def prepare(
    config: Config,
    console: Console,
    pictures: PictureData | None = None,
    share: Share = ALONE,
) -> Job:
    """Load the pictures, unless they are, and build the network and its head."""
    if pictures is None:
        pictures = load_pictures(config, console)
    return make_job(config, add_teacher(pictures, config, console), console, share)


def load_pictures(config: Config, console: Console, keeps: bool = True) -> PictureData:
    """Load the pictures, and say how far it is.

    Args:
        keeps: remember for the next run what was seen of pictures.
    """
    folder = cache.locate(config.features.cache_dir) if keeps else None
    with counting_pictures(console, "Reading and checking the pictures") as show:
        # Where pictures may not be flipped, mirror images are other things, such as letters.
        return load_data(config.data, config.seed, folder, show, config.augmentation.flip)


def make_job(config: Config, pictures: PictureData, console: Console, share: Share = ALONE) -> Job:
    """Build the network and its head for some pictures.

    Args:
        share: what this process has of the run.

    Raises:
        InputError: the config does not go with the pictures or the network.
    """
    if config.deterministic:
        make_deterministic()
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


def train_phase(
    job: Job,
    position: int,
    earlier: Sequence[PhaseResult],
    logs: Path,
    console: Console,
    after_epoch: Callable[[], None] | None = None,
    span: Span = WHOLE,
    tell: Callable[[np.ndarray], None] | None = None,
    also: Sequence[Cut] = (),
) -> PhaseResult:
    """Run the frozen layers of a phase where their features are not stored yet, and train it.

    Args:
        position: of the phase in the job's.
        earlier: what the phases before it did.
        after_epoch: is called after each epoch.
        span, tell: as of `fit_phase`.
        also: as of `make_phase_data`.
    """
    started, clock = time.monotonic(), job.layers.clock
    before = replace(clock)
    phases, draws_evenly = job.phases[position:], job.objective.draws_evenly
    share, pictures = job.share, job.pictures
    own = replace(
        pictures,
        train=share.part_of(pictures.train),
        validation=share.part_of(pictures.validation),
        test=share.part_of(pictures.test),
    )
    # Of the smallest part, which all processes can take.
    size = job.batch_size // share.count
    steps = max(1, len(pictures.train.labels) // share.count // size)
    data = make_phase_data(job.layers, own, phases, size, draws_evenly, also, share, steps)
    passed = replace(clock)
    result = fit_phase(
        job.layers.backbone,
        job.layers.head,
        phases[0],
        data,
        earlier[-1] if earlier else None,
        logs,
        console,
        after_epoch,
        job.objective,
        span,
        tell,
        job.layers.say,
    )
    # What trained has waited for pictures and for frozen layers that ran meanwhile.
    decoding = clock.input_seconds - passed.input_seconds
    running = clock.prefix_seconds - passed.prefix_seconds
    for_prefix = data.waiting.seconds * (running / (decoding + running) if running else 0.0)
    for_input = data.waiting.seconds - for_prefix
    return replace(
        result,
        seconds=time.monotonic() - started,
        input_seconds=passed.input_seconds - before.input_seconds + for_input,
        prefix_seconds=passed.prefix_seconds - before.prefix_seconds + for_prefix,
    )


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
    available = None if runtime.has_gpu() else runtime.available_memory_bytes()
    for planned in phases:
        if available is not None:
            check_memory(backbone, len(planned.unfrozen), job.batch_size, available)
    splits = {"train": pictures.train, "validation": pictures.validation, "test": pictures.test}
    counts = count_classes(pictures.train.labels, len(pictures.classes))
    class_counts = dict(zip(pictures.classes, map(int, counts), strict=True))
    imbalance = [] if pictures.has_several else note_imbalance(class_counts, config.data.balance)
    return Plan(
        source=pictures.source,
        counts={name: len(split.labels) for name, split in splits.items()},
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
    share = spread(config.devices.strategy)
    with share.scope(), memory_errors(config.data.batch_size):
        job = prepare(config, console, load_pictures(config, console, keeps=False), share)
        with console.status("Timing a few steps"):
            plan = make_plan(config, job, is_timed=True)
    print_plan(console, plan, with_blocks=True)
    return plan


def _with_choices(config: Config, result: RunResult) -> Config:
    """The config with engine and precisions as trials chose them: a replay needs no trial."""
    phases = tuple(
        phase.model_copy(update={"precision": trained.precision})
        for phase, trained in zip(config.phases, result.phases, strict=True)
    )
    engine = result.engine or config.features.engine
    features = config.features.model_copy(update={"engine": engine})
    return config.model_copy(update={"phases": phases, "features": features})


def _describe(config: Config) -> str:
    alpha = config.backbone.alpha
    return config.backbone.name if alpha is None else f"{config.backbone.name} (alpha {alpha:g})"
