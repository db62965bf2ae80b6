"""The main path: a job → its phases → one look at the test split → export."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from tfxfer import run
from tfxfer.config.config import Config
from tfxfer.data.items import PictureData
from tfxfer.export.jax_program import check_readable
from tfxfer.export.saved_model import export_saved_model
from tfxfer.features.cut import PICTURES, Cut
from tfxfer.features.feed import make_phase_data
from tfxfer.job import Job, choose_devices, make_plan, prepare
from tfxfer.judge import judge
from tfxfer.machine import runtime
from tfxfer.machine.processes import loss_of_others
from tfxfer.phases.fit import fit_phase
from tfxfer.phases.keeper import EVERY_SECONDS, KeepEpochs, Keeper
from tfxfer.phases.memory import memory_errors
from tfxfer.phases.span import WHOLE, Span
from tfxfer.phases.state import StateError
from tfxfer.phases.unfinished import name_run, reserve_place
from tfxfer.records.exports import Exported
from tfxfer.records.results import PhaseResult, RunResult
from tfxfer.report.console import print_phase, print_plan, print_result
from tfxfer.tasks.heads import build_model


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
    share = choose_devices(config)
    check_readable()
    # What was kept of the run goes when its folder is in place.
    with (
        loss_of_others(share),
        ExitStack() as until_done,
        run.staged(folder, overwrite) if share.is_first else run.scratch() as staging,
        memory_errors(config.data.batch_size),
    ):
        with share.scope():
            job = prepare(config, console, pictures, share)
            plan = make_plan(config, job)
            print_plan(console, plan, with_blocks=False)
            model = build_model(job.layers.backbone, job.layers.head)
            place = until_done.enter_context(reserve(config, job, model, staging, fresh))
            keeper = Keeper(place, job.layers, started, every_seconds) if place else None
            keeper = keeper.take_up(model, job.phases, share) if keeper else None
            results = train_phases(job, model, staging, console, watch, keeper)
            # Of pictures that were trained on, the model is too sure.
            calibrates = config.calibrate and not config.data.train_on_validation
            with console.status("Evaluating"):
                validation, test, calibration = judge(model, job.pictures, calibrates, share)
        with console.status("Exporting"):
            exported = _export(model, job, staging)
        result = RunResult(
            path=folder,
            classes=job.pictures.classes,
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
            quarantined=job.pictures.quarantined,
            calibration=calibration,
        )
        run.write_config(staging, _with_choices(config, result))
        run.write_result(staging, result)
    print_result(console, result)
    return result


def _export(model: keras.Model, job: Job, staging: Path) -> Exported:
    """Write the model and its SavedModel; of several processes, the first one does."""
    path = staging / run.EXPORT
    if not job.share.is_first:
        return Exported(path, 0, 0.0)
    model.save(staging / run.MODEL)
    return export_saved_model(model, job.pictures.classes, path, job.pictures.validation)


@contextmanager
def reserve(
    config: Config, job: Job, model: keras.Model, staging: Path, fresh: bool
) -> Iterator[Path | None]:
    """Give the folder in which a run keeps how far it is; None where it can keep nothing.

    Of several processes, the first one keeps it, and the others get copies of that.
    """
    share, layers = job.share, job.layers
    with ExitStack() as stack:
        place: Path | None = staging / "kept"
        if share.is_first:
            key = name_run(config, job.pictures, model)
            place = stack.enter_context(reserve_place(layers.folder, key, fresh, layers.say))
        yield place if share.agree(place is not None) else None


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
    size, steps = job.own_batch_size, job.steps_per_epoch
    own, share = job.own_pictures(), job.share
    data = make_phase_data(job.layers, own, phases, size, draws_evenly, also, share, steps)
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
        job.layers.say,
        keep,
    )
    result = replace(result, **spend())
    return begun.join(result) if begun else result


def _with_choices(config: Config, result: RunResult) -> Config:
    """The config with engine and precisions as trials chose them: a replay needs no trial."""
    phases = tuple(
        phase.model_copy(update={"precision": trained.precision})
        for phase, trained in zip(config.phases, result.phases, strict=True)
    )
    engine = result.engine or config.features.engine
    features = config.features.model_copy(update={"engine": engine})
    return config.model_copy(update={"phases": phases, "features": features})
