"""The training of all phases in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np

from tfxfer import run
from tfxfer.features.cut import Cut
from tfxfer.features.feed import PhaseData, make_phase_data
from tfxfer.phases.fit import fit_phase, make_validate
from tfxfer.phases.parts import PhaseRun, Watch
from tfxfer.phases.prepare import build_trained
from tfxfer.phases.span import WHOLE, Span
from tfxfer.phases.state import StateError
from tfxfer.records.results import PhaseResult
from tfxfer.report.console import print_phase
from tfxfer.training.job import Job
from tfxfer.training.resume.keeper import Keeper
from tfxfer.training.spent import Spent


def train_phases(
    job: Job,
    model: keras.Model,
    *,
    keeper: Keeper,
    staging: Path,
    after: Callable[[keras.Model], None] | None = None,
    tell: Callable[[np.ndarray], None] | None = None,
) -> tuple[PhaseResult, ...]:
    """Train one phase after the other, except those that an earlier process has finished.

    Args:
        model: The model from items to probabilities, over the layers of the job.
        keeper: The keeper of how far the run is.
        staging: The folder to which the run's files are written.
        after: A function that is called with the model after each epoch and after each phase.
        tell: A function that is given the probabilities of the validation items, which the trained
            model gives, ``[items, classes]``: once for each phase that is trained here, or once if
            an earlier process has finished all of them.
    """
    after_epoch = partial(after, model) if after else None
    watch = Watch(
        keeper.logs(staging) / run.TENSORBOARD, job.features.recorder.console, after_epoch, tell
    )
    results = list(keeper.found.phases)
    for result in results:
        print_phase(watch.console, result)
    if tell and len(results) == len(job.phases):
        tell(_predict_validation(Turn(job, len(results) - 1, tuple(results), watch)))
    for position in range(len(results), len(job.phases)):
        turn = Turn(job, position, tuple(results), watch)
        try:
            result = train_phase(turn, keeper=keeper)
        except StateError as fault:
            keeper = keeper.without_epochs(fault)  # They have not changed anything yet.
            result = train_phase(turn, keeper=keeper)
        results.append(result)
        print_phase(watch.console, result)
        keeper.keep_phases(model, results)
        if after:
            after(model)
    keeper.hand_over(watch.logs, staging)
    return tuple(results)


@dataclass(frozen=True)
class Turn:
    """A phase of a job whose turn has come.

    Attributes:
        position: The position of the phase among the job's.
        earlier: The results of the phases before it.
        watch: The functions that are told how it goes.
        span: The epochs to train now.
        also: Cuts whose features other runs will ask for; the same pass stores them too, if there
            is room.
    """

    job: Job
    position: int
    earlier: Sequence[PhaseResult]
    watch: Watch
    span: Span = WHOLE
    also: Sequence[Cut] = ()


def train_phase(turn: Turn, keeper: Keeper | None = None) -> PhaseResult:
    """Run the frozen layers of a phase unless their features are stored already, and train it.

    Args:
        keeper: The keeper, which keeps how far the phase is, and knows how far an earlier process
            came.

    Raises:
        StateError: The checkpoint belongs to another model; nothing is trained then.
    """
    job, recorder = turn.job, turn.job.features.recorder
    spent = Spent(recorder.clock)
    data = _make_data(turn)
    spent.begin_training(data.waiting)
    this = PhaseRun(
        job.parts(turn.position, data.cut),
        data,
        replace(turn.watch, say=recorder.say),
        turn.earlier[-1] if turn.earlier else None,
        turn.span,
    )
    if keeper is None:
        return replace(fit_phase(this), **spent.seconds())
    this = keeper.go_on(this, turn.position, earlier=turn.earlier, times=spent.seconds)
    result = replace(fit_phase(this), **spent.seconds())
    return keeper.join(result, turn.position)


def _predict_validation(turn: Turn) -> np.ndarray:
    """Return what `Watch.tell` was told at the end of a phase, after the phase."""
    data = _make_data(turn)
    parts = turn.job.parts(turn.position, data.cut)
    return make_validate(PhaseRun(parts, data, turn.watch)).predict(build_trained(parts))


def _make_data(turn: Turn) -> PhaseData:
    """Compute or look up the input of a phase."""
    job = turn.job
    return make_phase_data(
        job.features,
        job.own_items(),
        phases=job.phases[turn.position :],
        batching=job.batching,
        also=turn.also,
    )
