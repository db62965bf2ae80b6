"""The checkpoint of an unfinished run: its finished phases, and the epochs of the present one.

<place>/phases.npz    the results of the finished phases, and the weights after the last one
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
    """The epochs of a phase that an earlier process has trained.

    Attributes:
        name: The name of the phase.
        epochs: The number of epochs.
        precision, history: The same as in `PhaseResult`.
        times: The seconds in `PhaseResult`, by their names.
    """

    name: str
    epochs: int
    precision: str
    history: dict[str, list[float]]
    times: dict[str, float]

    def go_on(self, phase: ResolvedPhase) -> ResolvedPhase:
        """Return the phase with the precision of these epochs, so that none is chosen again."""
        return phase.model_copy(update={"precision": self.precision})

    def join(self, result: PhaseResult) -> PhaseResult:
        """Put these epochs before those of a result."""
        history = {name: [*self.history[name], *values] for name, values in result.history.items()}
        epochs = self.epochs + result.epochs
        return replace(result, epochs=epochs, history=history, **self.add(times_of(result)))

    def add(self, times: Mapping[str, float]) -> dict[str, Any]:
        """Return the times of these epochs and of those that followed."""
        return {name: self.times[name] + seconds for name, seconds in times.items()}


@dataclass(frozen=True)
class Checkpoint:
    """How far a run is.

    Attributes:
        phases: The results of the finished phases.
        begun: The epochs of the phase after them; None if none were kept.
        seconds: The wall time of the run until then, in all its processes.
        engine, notes: The name of the run's engine, and its notes.
    """

    phases: tuple[PhaseResult, ...] = ()
    begun: Begun | None = None
    seconds: float = 0.0
    engine: str | None = None
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return a text such as ``"phase 'head' and epoch 5 of 'fine-tune'"``, or an empty one."""
        finished = [f"phase {self.phases[-1].name!r}"] if self.phases else []
        begun = [f"epoch {self.begun.epochs} of {self.begun.name!r}"] if self.begun else []
        return " and ".join([*finished, *begun])


def write_phases(place: Path, model: keras.Model, checkpoint: Checkpoint) -> None:
    """Write the results of finished phases, and the model's weights and random states after them.

    Raises:
        OSError: There is no room.
    """
    write_state(place / PHASES, {"variable": model.variables}, _encode(checkpoint))
    (place / EPOCHS).unlink(missing_ok=True)


def write_epochs(place: Path, model: keras.Model, best: KeepBest, checkpoint: Checkpoint) -> None:
    """Write the epochs of an unfinished phase, and the state of its model after them.

    Args:
        place: The folder.
        model: The compiled model of the phase.
        best: The callback with the best weights.
        checkpoint: How far the run is.

    Raises:
        OSError: There is no room.
    """
    save_state(place / EPOCHS, model, best, _encode(checkpoint))


def find_checkpoint(place: Path, model: keras.Model, say: Callable[[str], None]) -> Checkpoint:
    """Read how far an earlier process came, and give the model the weights of that time.

    Files that are damaged or were written by other versions are ignored, and a note says so.

    Args:
        place: The folder.
        model: The whole model, from items to probabilities.
        say: A function that shows a note.
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
            # If the phases differ, these epochs belong to a phase that is finished by now.
            found = begun if begun.phases == found.phases else found
    except StateError as fault:
        say_unusable(fault, found, say)
    return found


def say_unusable(fault: StateError, usable: Checkpoint, say: Callable[[str], None]) -> None:
    """Show a note that a part of an earlier process's state is ignored, and which part is used."""
    kept = f"only {usable.describe()} stays" if usable.phases else "the run starts anew"
    say(f"what an earlier, stopped run has left cannot all be used ({fault}): {kept}")


def read_checkpoint(place: Path) -> Checkpoint:
    """Read how far a run is, from the readable files of a folder."""
    found = Checkpoint()
    for name in (PHASES, EPOCHS):
        if (place / name).is_file():
            try:
                found = _decode(read_state(place / name).about)
            except StateError:
                break
    return found


def times_of(result: PhaseResult) -> dict[str, Any]:
    """Return the seconds of a phase, by their names."""
    names = ("seconds", "input_seconds", "prefix_seconds")
    return {name: getattr(result, name) for name in names}


def _encode(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"versions": runtime.list_versions(), "checkpoint": asdict(checkpoint)}


def _decode(about: Mapping[str, Any]) -> Checkpoint:
    """Undo `_encode`.

    Raises:
        StateError: Other versions wrote the file.
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
