"""The keeper, which writes checkpoints while a run trains, and continues a stopped run."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import keras

from tfxfer.config.config import Config
from tfxfer.config.phases import ResolvedPhase
from tfxfer.features.run import FeatureRun
from tfxfer.machine.processes import Share
from tfxfer.phases.keep_best import KeepBest
from tfxfer.phases.parts import PhaseRun
from tfxfer.phases.span import Span
from tfxfer.phases.state import StateError
from tfxfer.phases.unfreeze import unfreeze_for
from tfxfer.records.results import PhaseResult
from tfxfer.training.job import Job
from tfxfer.training.resume.checkpoint import (
    EPOCHS,
    PHASES,
    Begun,
    Checkpoint,
    find_checkpoint,
    say_unusable,
    write_epochs,
    write_phases,
)
from tfxfer.training.resume.place import name_run, reserve_place

# A stopped run repeats at most so much, unless an epoch takes longer.
EVERY_SECONDS = 20.0


@dataclass(frozen=True)
class Keeper:
    """The keeper of how far a run is.

    Attributes:
        place: The folder of the checkpoint; None if nothing is kept.
        features: The features of the run, whose recorder is kept as well.
        started: When this process began, as `time.monotonic` counts.
        every_seconds: The least time between two files of epochs.
        found: How far an earlier process came.
    """

    place: Path | None
    features: FeatureRun
    started: float
    every_seconds: float = EVERY_SECONDS
    found: Checkpoint = field(default_factory=Checkpoint)

    def take_up(
        self, model: keras.Model, phases: Sequence[ResolvedPhase], *, share: Share
    ) -> Keeper:
        """Bring a new run to where an earlier process was stopped, if there was one.

        Args:
            model: The whole model, from items to probabilities, with the run's layers.
            phases: The phases of the run.
            share: The part of the run that this process does; all use the first one's files.
        """
        place = self.place
        if place is None:
            return self
        share.copy_files(place, (PHASES, EPOCHS))
        if not share.is_first:
            self = replace(self, every_seconds=math.inf)
        recorder, backbone = self.features.recorder, self.features.network.backbone
        found = find_checkpoint(place, model, recorder.say)
        if not found.describe():
            return self
        for phase, _ in zip(phases, found.phases, strict=False):
            unfreeze_for(phase, backbone)
        if found.engine and found.engine in self.features.list_engines():
            recorder.engine_name = found.engine
        recorder.notes += [note for note in found.notes if note not in recorder.notes]
        recorder.say(
            f"goes on after {found.describe()}, where an earlier run was stopped "
            "(--fresh starts anew)"
        )
        return replace(self, found=found)

    def seconds(self) -> float:
        """Return the wall time of the run so far."""
        return self.found.seconds + time.monotonic() - self.started

    def begun(self, position: int) -> Begun | None:
        """Return the epochs that an earlier process trained of the phase at a position."""
        return self.found.begun if position == len(self.found.phases) else None

    def go_on(
        self,
        this: PhaseRun,
        position: int,
        *,
        earlier: Sequence[PhaseResult],
        times: Callable[[], dict[str, float]],
    ) -> PhaseRun:
        """Let a phase begin where an earlier process was stopped, and keep how far it is.

        Args:
            position: The position of the phase among the run's.
            earlier: The results of the phases before it.
            times: A function that returns the phase's seconds so far, in this process, by their
                names in `PhaseResult`.
        """
        if self.place is None:
            return this
        begun = self.begun(position)
        kept = Kept(this.phase.name, tuple(earlier), times, begun)
        this = replace(this, watch=replace(this.watch, keep=partial(KeepEpochs, self, kept)))
        if begun is None:
            return this
        parts = replace(this.parts, phase=begun.go_on(this.phase))
        return replace(this, parts=parts, span=Span(start=begun.epochs, state=self.place / EPOCHS))

    def join(self, result: PhaseResult, position: int) -> PhaseResult:
        """Put the epochs that an earlier process trained of a phase before those of a result."""
        begun = self.begun(position)
        return begun.join(result) if begun else result

    def logs(self, staging: Path) -> Path:
        """Return the folder for the curves, where those of an earlier process stay."""
        return self.place or staging

    def hand_over(self, logs: Path, staging: Path) -> None:
        """Copy the curves to the files of the run, unless they are there already."""
        if self.place and logs.is_dir():
            try:
                shutil.copytree(logs, staging / logs.name)
            except OSError as error:
                self.features.recorder.say(f"the run's curves stay in {str(logs)!r} ({error})")

    def without_epochs(self, fault: StateError) -> Keeper:
        """Ignore the epochs that an earlier process trained of a phase, and say why."""
        finished = replace(self.found, begun=None)
        say_unusable(fault, finished, self.features.recorder.say)
        return replace(self, found=finished)

    def keep_phases(self, model: keras.Model, results: Sequence[PhaseResult]) -> None:
        """Keep the results of the finished phases, and the whole model's weights after them."""
        place = self.place
        if place is not None:
            self.try_to(lambda: write_phases(place, model, self.note(results)))

    def note(self, phases: Sequence[PhaseResult], begun: Begun | None = None) -> Checkpoint:
        """Return how far the run is now."""
        recorder = self.features.recorder
        return Checkpoint(
            tuple(phases), begun, self.seconds(), recorder.engine_name, tuple(recorder.notes)
        )

    def try_to(self, write: Callable[[], None]) -> None:
        """Write a file; if there is no room, show a note and let the run go on without it."""
        try:
            write()
        except OSError as error:
            self.features.recorder.say(
                f"how far the run is cannot be kept in {str(self.place)!r} ({error.strerror}): "
                "if it is stopped, epochs are lost"
            )


@dataclass(frozen=True)
class Kept:
    """The facts about a phase that are kept beside its epochs.

    Attributes:
        name: The name of the phase.
        earlier: The results of the phases before it.
        times: A function that returns the phase's seconds so far, in this process, by their names
            in `PhaseResult`.
        begun: The epochs that an earlier process trained of it; None if there are none.
    """

    name: str
    earlier: tuple[PhaseResult, ...]
    times: Callable[[], dict[str, float]]
    begun: Begun | None


class KeepEpochs(keras.callbacks.Callback):
    """A callback that writes a checkpoint after an epoch, unless the last one is recent.

    The last epoch of a phase is not kept, because the finished phase is written right after it.

    Args:
        best: The callback with the phase's best weights, which is called before this one.
        precision: The precision that the phase trains in.
    """

    def __init__(self, keeper: Keeper, kept: Kept, best: KeepBest, precision: str):
        super().__init__()
        self._keeper, self._phase, self._best, self._precision = keeper, kept, best, precision
        self._history = kept.begun.history if kept.begun else {}
        self._kept = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        # `fit` adds to its own history only after this callback.
        self._history = {
            name: [*self._history.get(name, [])[:epoch], float(value)]
            for name, value in logs.items()
        }
        is_last = self.model.stop_training or epoch + 1 == self.params["epochs"]
        is_finite = all(math.isfinite(values[-1]) for values in self._history.values())
        is_due = time.monotonic() - self._kept >= self._keeper.every_seconds
        if is_due and is_finite and not is_last:
            self._keeper.try_to(lambda: self._write(epoch + 1))
            self._kept = time.monotonic()

    def _write(self, epochs: int) -> None:
        kept, place = self._phase, self._keeper.place
        times = kept.begun.add(kept.times()) if kept.begun else kept.times()
        begun = Begun(kept.name, epochs, self._precision, self._history, times)
        if place is not None:
            write_epochs(place, self.model, self._best, self._keeper.note(kept.earlier, begun))


@contextmanager
def reserve(
    config: Config, job: Job, model: keras.Model, staging: Path, fresh: bool
) -> Iterator[Path | None]:
    """Give the folder of a run's checkpoint, or None if there can be none.

    With several processes, the first one writes it, and the others get copies.
    """
    share, features = job.share, job.features
    with ExitStack() as stack:
        place: Path | None = staging / "kept"
        if share.is_first:
            key = name_run(config, job.items, model)
            place = stack.enter_context(
                reserve_place(features.store.folder, key, fresh, features.recorder.say)
            )
        yield place if share.agree(place is not None) else None
