"""The main path of a run: the job, its phases, one evaluation on the test split, and the export."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from rich.console import Console

from tfxfer import run
from tfxfer.backbones.whole import build_model
from tfxfer.config.config import Config
from tfxfer.data.items import ItemData
from tfxfer.evaluation.final import calibrate, judge
from tfxfer.export.jax_program import check_readable
from tfxfer.export.saved_model import export_saved_model
from tfxfer.export.served_network import ServedNetwork, serve_network
from tfxfer.features.cut import ITEMS
from tfxfer.machine import runtime
from tfxfer.machine.compiled import compile_model, is_on
from tfxfer.machine.disks import disk_errors
from tfxfer.machine.keras_settings import float32_policy
from tfxfer.machine.processes import loss_of_others
from tfxfer.machine.stages import Stages
from tfxfer.modality import InputSpec
from tfxfer.phases.memory import memory_errors
from tfxfer.records.evaluations import Calibration, Evaluation
from tfxfer.records.exports import Exported
from tfxfer.records.results import RunResult
from tfxfer.report.console import print_plan, print_result
from tfxfer.training.disks import list_places
from tfxfer.training.job import Job, choose_devices, prepare
from tfxfer.training.phase import train_phases
from tfxfer.training.plan import make_plan
from tfxfer.training.resume.keeper import EVERY_SECONDS, Keeper, reserve


@float32_policy()
def run_training(
    config: Config,
    folder: Path,
    console: Console,
    *,
    overwrite: bool = False,
    watch: Callable[[keras.Model], None] | None = None,
    items: ItemData | None = None,
    fresh: bool = False,
    every_seconds: float = EVERY_SECONDS,
    started: float | None = None,
) -> RunResult:
    """Train, evaluate, export, and put the run folder in its place when everything is done.

    The validation split chooses the epochs; the test split is read once, at the end. A run that
    was stopped goes on where it was. It gets the same figures if the device's sums are
    reproducible.

    Args:
        watch: A function that is called after each epoch and phase with the whole model, from
            items to probabilities.
        items: The items of `config`, if they are loaded already.
        fresh: Whether the run begins anew even if an earlier one was stopped.
        every_seconds: least time between two notes of how far the run is; phases that end count
            for themselves.
        started: When the run began, as `time.monotonic` counts; None stands for now.

    Raises:
        InputError: The config cannot be carried out on its items; no folder is left then.
        ExportMismatchError: The exported model differs from the trained one.
    """
    stages = Stages(started)
    share = choose_devices(config)
    check_readable()
    stages.end("start")
    # The checkpoint is removed only after the run folder is in its place.
    with (
        loss_of_others(share),
        ExitStack() as until_done,
        run.staged(folder, overwrite) if share.is_first else run.scratch() as staging,
        memory_errors(config.data.batch_size),
        disk_errors(list_places(config, folder)),
    ):
        with share.scope():
            job = prepare(config, console, items, share=share, stages=stages)
            plan = make_plan(config, job)
            print_plan(console, plan, with_blocks=False)
            model = build_model(job.backbone, job.head)
            stages.end("plan")
            place = until_done.enter_context(reserve(config, job, model, staging, fresh))
            keeper = Keeper(place, job.features, stages.started, every_seconds)
            keeper = keeper.take_up(model, job.phases, share=share)
            told: list[np.ndarray] = []
            results = train_phases(
                job, model, keeper=keeper, staging=staging, after=watch, tell=told.append
            )
            stages.skip()  # Each phase has measured its own time.
            with console.status("Evaluating"):
                judged = _judge(config, job, model, told[-1])
            stages.end("judging")
        with console.status("Exporting"):
            exported = _export(model, judged, job, staging)
            stages.end("export")
        result = RunResult(
            path=folder,
            classes=job.items.classes,
            plan=replace(plan, notes=(*plan.notes, *job.features.recorder.notes)),
            phases=results,
            validation=judged.validation,
            test=judged.test,
            exported=replace(exported, path=folder / run.EXPORT),
            total_parameters=model.count_params(),
            engine=job.features.recorder.engine_name
            if any(p.cut != ITEMS for p in results)
            else None,
            engine_error=job.features.recorder.engine_error,
            seed=config.seed,
            seconds=keeper.seconds(),
            stages=stages.seconds,
            versions=runtime.list_versions(),
            device=runtime.describe_device(),
            quarantined=job.items.quarantined,
            calibration=judged.calibration,
        )
        run.write_config(staging, _with_choices(config, result))
        run.write_result(staging, result)
    print_result(console, result)
    return result


@dataclass(frozen=True)
class _Judged:
    """The last look at a model.

    Attributes:
        validation, test, calibration: The same as in `RunResult`.
        network: The model's network, if it was traced for this.
        probabilities: Its probabilities of the validation items ``[items, classes]``, by which it
            was chosen.
    """

    validation: Evaluation
    test: Evaluation
    calibration: Calibration | None
    network: ServedNetwork | None
    probabilities: np.ndarray


def _judge(config: Config, job: Job, model: keras.Model, given: np.ndarray) -> _Judged:
    """Calibrate a model, and evaluate it by the very network that is exported, where that can be.

    Args:
        given: The model's probabilities of all validation items.
    """
    # A model is too sure about the items it was trained on, so they cannot calibrate it.
    calibrates = config.calibrate and not config.data.split.train_on_validation
    calibrated = calibrate(model, job.items, given, calibrates)
    network = serve_network(model) if job.share.devices == 1 and is_on("tensorflow") else None
    call = network.call if network else compile_model(model)
    found = judge(call, InputSpec.of(model), job.items, calibrated, share=job.share)
    return _Judged(*found, network, calibrated.after)


def _export(model: keras.Model, judged: _Judged, job: Job, staging: Path) -> Exported:
    """Write the model and its SavedModel, if this is the first process."""
    path = staging / run.EXPORT
    if not job.share.is_first:
        return Exported(path, 0, 0.0)
    model.save(staging / run.MODEL)
    # GPUs and TPUs round the factors of convolutions, and not always in the same way.
    is_exact = not runtime.has_accelerator()
    return export_saved_model(
        model,
        job.items.classes,
        path,
        job.items.validation,
        network=judged.network,
        chosen_by=judged.probabilities if is_exact else None,
    )


def _with_choices(config: Config, result: RunResult) -> Config:
    """Return the config with the chosen engine and precisions, so that a replay need not choose."""
    phases = tuple(
        phase.model_copy(update={"precision": trained.precision})
        for phase, trained in zip(config.phases, result.phases, strict=True)
    )
    engine = result.engine or config.features.engine
    features = config.features.model_copy(update={"engine": engine})
    return config.model_copy(update={"phases": phases, "features": features})
