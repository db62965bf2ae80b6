"""The training of all phases in order."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from tfxfer import run
from tfxfer.features.cut import Cut
from tfxfer.features.feed import make_phase_data
from tfxfer.phases.fit import fit_phase
from tfxfer.phases.span import WHOLE, Span
from tfxfer.phases.state import StateError
from tfxfer.records.results import PhaseResult
from tfxfer.report.console import print_phase
from tfxfer.training.job import Job
from tfxfer.training.resume.keeper import KeepEpochs, Keeper


def train_phases(
    job: Job,
    model: keras.Model,
    staging: Path,
    console: Console,
    watch: Callable[[keras.Model], None] | None = None,
    keeper: Keeper | None = None,
) -> tuple[PhaseResult, ...]:
    """Train all phases in order, except those that an earlier process has finished.

    Args:
        model: The whole model, from pictures to probabilities, with the job's layers.
        staging: The folder in which the run's files are written.
        watch: The same as in `run_training`.
        keeper: The keeper of checkpoints; None keeps nothing.
    """
    after_epoch = partial(watch, model) if watch else None
    # The curves are kept together with the epochs, so that those of earlier processes stay.
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
            keeper = keeper.without_epochs(fault)  # The damaged file has not changed anything yet.
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
    """Compute the features of a phase that are not stored yet, and train the phase.

    Args:
        position: The position of the phase in the job.
        earlier: The results of the phases before it.
        after_epoch: A function that is called after each epoch.
        span, tell: The same as in `fit_phase`.
        also: The same as in `make_phase_data`.
        keeper: The keeper of checkpoints, which knows how far an earlier process came.

    Raises:
        StateError: The checkpoint belongs to another model; nothing is trained then.
    """
    started, clock = time.monotonic(), job.features.recorder.clock
    before = replace(clock)
    phases = job.phases[position:]
    data = make_phase_data(
        job.features, job.own_pictures(), phases=phases, batching=job.batching, also=also
    )
    passed = replace(clock)

    def spend() -> dict[str, Any]:
        """Return the seconds of the phase so far, by their names in `PhaseResult`."""
        # The training has waited for pictures and for frozen layers, which are told apart here.
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
        job.backbone,
        job.head,
        begun.go_on(phases[0]) if begun else phases[0],
        data,
        earlier[-1] if earlier else None,
        logs,
        console,
        after_epoch,
        job.objective,
        keeper.span(begun) if keeper and begun else span,
        tell,
        job.features.recorder.say,
        keep,
    )
    result = replace(result, **spend())
    return begun.join(result) if begun else result
