"""How far an unfinished run is: finished phases, and the epochs of the one that is on.

<place>/phases.npz    what the finished phases did, and the weights after the last of them
<place>/epochs.npz    the epochs of the phase that follows, and its state
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras

from tfxfer.config.phases import ResolvedPhase
from tfxfer.machine import runtime
from tfxfer.phases.keep_best import KeepBest
from tfxfer.phases.span import save_state
from tfxfer.phases.state import StateError, assign_state, read_state, write_state
from tfxfer.records.results import PhaseResult

PHASES, EPOCHS = "phases.npz", "epochs.npz"


@dataclass(frozen=True)
class Begun:
    """Epochs of a phase that an earlier process has trained.

    Attributes:
        name: the phase's.
        epochs: how many.
        precision, history: as of `PhaseResult`.
        times: `PhaseResult`'s seconds, by their names.
    """

    name: str
    epochs: int
    precision: str
    history: dict[str, list[float]]
    times: dict[str, float]

    def go_on(self, phase: ResolvedPhase) -> ResolvedPhase:
        """The phase without a trial of precisions: that of these epochs is taken."""
        return phase.model_copy(update={"precision": self.precision})

    def join(self, result: PhaseResult) -> PhaseResult:
        """Put these epochs before those of a result."""
        history = {name: [*self.history[name], *values] for name, values in result.history.items()}
        epochs = self.epochs + result.epochs
        return replace(result, epochs=epochs, history=history, **self.add(times_of(result)))

    def add(self, times: Mapping[str, float]) -> dict[str, Any]:
        """The times of these epochs and of those that followed."""
        return {name: self.times[name] + seconds for name, seconds in times.items()}


@dataclass(frozen=True)
class Checkpoint:
    """How far a run is.

    Attributes:
        phases: what the finished ones did.
        begun: of the phase after them; None: nothing was kept of it.
        seconds: wall time of the run until then, in all its processes.
        engine, notes: `FrozenLayers.engine_name` and `notes`.
    """

    phases: tuple[PhaseResult, ...] = ()
    begun: Begun | None = None
    seconds: float = 0.0
    engine: str | None = None
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """Such as ``"phase 'head' and epoch 5 of 'fine-tune'"``; empty: not begun."""
        finished = [f"phase {self.phases[-1].name!r}"] if self.phases else []
        begun = [f"epoch {self.begun.epochs} of {self.begun.name!r}"] if self.begun else []
        return " and ".join([*finished, *begun])


def write_phases(place: Path, model: keras.Model, checkpoint: Checkpoint) -> None:
    """Keep what finished phases did, and the model's weights and random states after them.

    Raises:
        OSError: there is no room.
    """
    write_state(place / PHASES, {"variable": model.variables}, _encode(checkpoint))
    (place / EPOCHS).unlink(missing_ok=True)


def write_epochs(place: Path, model: keras.Model, best: KeepBest, checkpoint: Checkpoint) -> None:
    """Keep the epochs that were trained of a phase, and the state of its model after them.

    Args:
        model: of the phase, compiled.
        best: of its epochs.

    Raises:
        OSError: there is no room.
    """
    save_state(place / EPOCHS, model, best, _encode(checkpoint))


def find_checkpoint(place: Path, model: keras.Model, say: Callable[[str], None]) -> Checkpoint:
    """Read how far an earlier process came, and give the model the weights that it had then.

    What is damaged, or was written by other versions, is left aside, and a note says so.

    Args:
        model: from pictures to probabilities, as the run has built it.
    """
    found = Checkpoint()
    try:
        if (place / PHASES).is_file():
            state = read_state(place / PHASES)
            finished = _decode(state.about)
            assign_state(state, {"variable": model.variables})
            found = finished
        if (place / EPOCHS).is_file():
            begun = _decode(read_state(place / EPOCHS).about)
            # Else they are of a phase that the other file has finished.
            found = begun if begun.phases == found.phases else found
    except StateError as fault:
        say_unusable(fault, found, say)
    return found


def say_unusable(fault: StateError, usable: Checkpoint, say: Callable[[str], None]) -> None:
    """Say that something of an earlier process is left aside, and what is not."""
    kept = f"only {usable.describe()} stays" if usable.phases else "the run starts anew"
    say(f"what an earlier, stopped run has left cannot all be used ({fault}): {kept}")


def read_checkpoint(place: Path) -> Checkpoint:
    """How far the files of a folder are, as far as they can be read."""
    found = Checkpoint()
    for name in (PHASES, EPOCHS):
        if (place / name).is_file():
            try:
                found = _decode(read_state(place / name).about)
            except StateError:
                break
    return found


def times_of(result: PhaseResult) -> dict[str, Any]:
    """The seconds of a phase, by their names."""
    names = ("seconds", "input_seconds", "prefix_seconds")
    return {name: getattr(result, name) for name in names}


def _encode(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"versions": runtime.list_versions(), "checkpoint": asdict(checkpoint)}


def _decode(about: Mapping[str, Any]) -> Checkpoint:
    """Undo `_encode`.

    Raises:
        StateError: other versions wrote it.
    """
    ours, theirs = runtime.list_versions(), about.get("versions", {})
    differing = [
        f"{name} {theirs.get(name, '?')}" for name in ours if ours[name] != theirs.get(name)
    ]
    if differing:
        raise StateError(f"it was written by {', '.join(differing)}")
    try:
        row = about["checkpoint"]
        phases = [PhaseResult(**{**p, "unfrozen": tuple(p["unfrozen"])}) for p in row["phases"]]
        begun = Begun(**row["begun"]) if row["begun"] else None
        notes = tuple(row["notes"])
        return Checkpoint(tuple(phases), begun, row["seconds"], row["engine"], notes)
    except (KeyError, TypeError) as error:
        raise StateError(f"it misses {error}") from error
