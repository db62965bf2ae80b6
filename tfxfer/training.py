"""The main path: pictures → backbone → phases → one look at the test split → export."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

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
from tfxfer.phases.fit import fit_phase, memory_errors
from tfxfer.phases.keeper import EVERY_SECONDS, KeepEpochs, Keeper
from tfxfer.phases.objective import Objective, make_objective
from tfxfer.phases.schedules import resolve_phase
from tfxfer.phases.span import WHOLE, Span
from tfxfer.phases.state import StateError
from tfxfer.phases.unfinished import name_run, reserve_place
from tfxfer.progress import counting_pictures
from tfxfer.records import PhasePlan, PhaseResult, Plan, RunResult
from tfxfer.report.console import print_phase, print_plan, print_result
from tfxfer.teacher import add_teacher


@dataclass(frozen=True)
class Job:
    """What a config stands for once pictures and network are loaded."""

    pictures: PictureData
    layers: FrozenLayers
    phases: tuple[ResolvedPhase, ...]
    batch_size: int
    objective: Objective


def run_training(
    config: Config,
    folder: Path,
    console: Console,
    overwrite: bool = False,
    watch: Callable[[keras.Model], None] | None = None,
    pictures: PictureData | None = None,
    fresh: bool = False,
    every_seconds: float = EVERY_SECONDS,
) -> RunResult:
    """Train, evaluate, export, and put the run folder in its place when all is done.

    The validation split chooses the epochs; the test split is read once, at the end. A run that
    was stopped goes on where it was: with the same figures, where the device adds up as before.

    Args:
        watch: is called after each epoch, and after each phase, with the whole model, from
            pictures to probabilities.
        pictures: those of `config`, where they are loaded already.
        fresh: do not go on with what an earlier, stopped run has left.
        every_seconds: least time between two notes of how far the run is; phases that end count
            for themselves.

    Raises:
        InputError: the config cannot be carried out on its pictures; no folder is left then.
        ExportMismatchError: the exported model differs from the trained one.
    """
    started = time.monotonic()
    # What was kept of the run goes when its folder is in place.
    with (
        ExitStack() as until_done,
        run.staged(folder, overwrite) as staging,
        memory_errors(config.data.batch_size),
    ):
        job = prepare(config, console, pictures)
        plan = make_plan(config, job)
        print_plan(console, plan, with_blocks=False)
        model = build_model(job.layers.backbone, job.layers.head)
        layers, key = job.layers, name_run(config, job.pictures, model)
        place = until_done.enter_context(reserve_place(layers.folder, key, fresh, layers.say))
        keeper = Keeper(place, layers, started, every_seconds) if place else None
        keeper = keeper.take_up(model, job.phases) if keeper else None
        results = train_phases(job, model, staging, console, watch, keeper)
        pictures, classes = job.pictures, job.pictures.classes
        # Of pictures that were trained on, the model is too sure.
        calibrates = config.calibrate and not config.data.train_on_validation
        with console.status("Evaluating and exporting"):
            validation, test, calibration = judge(model, pictures, calibrates)
            model.save(staging / run.MODEL)
            exported = export_saved_model(model, classes, staging / run.EXPORT, pictures.validation)
        result = RunResult(
            path=folder,
            classes=classes,
            plan=replace(plan, notes=(*plan.notes, *job.layers.notes)),
            phases=results,
            validation=validation,
            test=test,
            exported=replace(exported, path=folder / run.EXPORT),
            total_parameters=model.count_params(),
            engine=job.layers.engine_name if any(p.cut != PICTURES for p in results) else None,
            seed=config.seed,
            seconds=keeper.seconds() if keeper else time.monotonic() - started,
            versions=runtime.list_versions(),
            device=runtime.describe_device(),
            quarantined=pictures.quarantined,
            calibration=calibration,
        )
        run.write_config(staging, _with_choices(config, result))
        run.write_result(staging, result)
    print_result(console, result)
    return result


def train_phases(
    job: Job,
    model: keras.Model,
    staging: Path,
    console: Console,
    watch: Callable[[keras.Model], None] | None = None,
    keeper: Keeper | None = None,
) -> tuple[PhaseResult, ...]:
    """Train one phase after the other, but for those that an earlier process has finished.

    Args:
        model: from pictures to probabilities, over the layers of the job.
        staging: where the run's files are written.
        watch: as of `run_training`.
        keeper: keeps how far the run is; None: nothing is kept.
    """
    after_epoch = partial(watch, model) if watch else None
    # The curves of epochs that are not trained again are kept with them.
    logs = (keeper.place if keeper else staging) / run.TENSORBOARD
    results = list(keeper.found.phases) if keeper else []
    for result in results:
        print_phase(console, result)
    for position in range(len(results), len(job.phases)):
        train = partial(train_phase, job, position, tuple(results), logs, console, after_epoch)
        try:
            result = train(keeper=keeper)
        except StateError as fault:
            if keeper is None:
                raise
            keeper = keeper.without_epochs(fault)  # before they have changed anything
            result = train(keeper=keeper)
        results.append(result)
        print_phase(console, result)
        if keeper:
            keeper.keep_phases(model, results)
        if watch:
            watch(model)
    if keeper and logs.is_dir():
        shutil.copytree(logs, staging / run.TENSORBOARD)
    return tuple(results)


def prepare(config: Config, console: Console, pictures: PictureData | None = None) -> Job:
    """Load the pictures, unless they are, and build the network and its head."""
    if pictures is None:
        pictures = load_pictures(config, console)
    return make_job(config, add_teacher(pictures, config, console), console)


def load_pictures(config: Config, console: Console, keeps: bool = True) -> PictureData:
    """Load the pictures, and say how far it is.

    Args:
        keeps: remember for the next run what was seen of pictures.
    """
    folder = cache.locate(config.features.cache_dir) if keeps else None
    with counting_pictures(console, "Reading and checking the pictures") as show:
        # Where pictures may not be flipped, mirror images are other things, such as letters.
        return load_data(config.data, config.seed, folder, show, config.augmentation.flip)


def make_job(config: Config, pictures: PictureData, console: Console) -> Job:
    """Build the network and its head for some pictures.

    Raises:
        InputError: the config does not go with the pictures or the network.
    """
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
    count = len(pictures.train.labels)
    policy = config.augmentation.policy
    phases = tuple(resolve_phase(phase, count, policy) for phase in config.phases)
    return Job(pictures, layers, phases, min(config.data.batch_size, count), objective)


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
    keeper: Keeper | None = None,
) -> PhaseResult:
    """Run the frozen layers of a phase where their features are not stored yet, and train it.

    Args:
        position: of the phase in the job's.
        earlier: what the phases before it did.
        after_epoch: is called after each epoch.
        span, tell: as of `fit_phase`.
        also: as of `make_phase_data`.
        keeper: keeps how far the phase is, and knows how far an earlier process came.

    Raises:
        StateError: what that process has left is of another model; nothing is trained then.
    """
    started, clock = time.monotonic(), job.layers.clock
    before = replace(clock)
    phases, draws_evenly = job.phases[position:], job.objective.draws_evenly
    data = make_phase_data(job.layers, job.pictures, phases, job.batch_size, draws_evenly, also)
    passed = replace(clock)

    def spend() -> dict[str, Any]:
        """Seconds of the phase so far, by their names in `PhaseResult`."""
        # What trained has waited for pictures and for frozen layers that ran meanwhile.
        decoding = clock.input_seconds - passed.input_seconds
        running = clock.prefix_seconds - passed.prefix_seconds
        for_prefix = data.waiting.seconds * (running / (decoding + running) if running else 0.0)
        for_input = data.waiting.seconds - for_prefix
        return {
            "seconds": time.monotonic() - started,
            "input_seconds": passed.input_seconds - before.input_seconds + for_input,
            "prefix_seconds": passed.prefix_seconds - before.prefix_seconds + for_prefix,
        }

    begun = keeper.begun(position) if keeper else None
    keep = partial(KeepEpochs, keeper, phases[0].name, earlier, spend, begun) if keeper else None
    result = fit_phase(
        job.layers.backbone,
        job.layers.head,
        begun.go_on(phases[0]) if begun else phases[0],
        data,
        earlier[-1] if earlier else None,
        logs,
        console,
        after_epoch,
        job.objective,
        keeper.span(begun) if keeper and begun else span,
        tell,
        keep,
    )
    result = replace(result, **spend())
    return begun.join(result) if begun else result


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
    with memory_errors(config.data.batch_size):
        job = prepare(config, console, load_pictures(config, console, keeps=False))
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
