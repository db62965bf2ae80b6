"""The training of all phases in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import keras

from tfxfer import run
from tfxfer.features.cut import Cut
from tfxfer.features.feed import PhaseData, make_phase_data
from tfxfer.phases.fit import fit_phase
from tfxfer.phases.parts import PhaseRun, Watch
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
) -> tuple[PhaseResult, ...]:
    """Train one phase after the other, except those that an earlier process has finished.

    Args:
        model: from items to probabilities, over the layers of the job.
        keeper: keeps how far the run is.
        staging: where the run's files are written.
        after: is called after each epoch, and after each phase, with the model.
    """
    after_epoch = partial(after, model) if after else None
    watch = Watch(
        keeper.logs(staging) / run.TENSORBOARD, job.features.recorder.console, after_epoch
    )
    results = list(keeper.found.phases)
    for result in results:
        print_phase(watch.console, result)
    for position in range(len(results), len(job.phases)):
        turn = Turn(job, position, tuple(results), watch)
        try:
            result = train_phase(turn, keeper=keeper)
        except StateError as fault:
            keeper = keeper.without_epochs(fault)  # before they have changed anything
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
        position: of the phase in the job's.
        earlier: what the phases before it did.
        watch: who is told how it goes.
        span: epochs to train now.
        also: cuts whose features other runs will ask for: the same pass stores them too, where
            there is room.
    """

    job: Job
    position: int
    earlier: Sequence[PhaseResult]
    watch: Watch
    span: Span = WHOLE
    also: Sequence[Cut] = ()


def train_phase(turn: Turn, keeper: Keeper | None = None) -> PhaseResult:
    """Run the frozen layers of a phase where their features are not stored yet, and train it.

    Args:
        keeper: keeps how far the phase is, and knows how far an earlier process came.

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


def _make_data(turn: Turn) -> PhaseData:
    """Compute or find what a phase trains on."""
    job = turn.job
    return make_phase_data(
        job.features,
        job.own_items(),
        phases=job.phases[turn.position :],
        batching=job.batching,
        also=turn.also,
    )
