"""What a run is going to do. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BadFile:
    """A file, record or example that cannot be used as a picture, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class PhasePlan:
    """What a phase is going to do.

    Attributes:
        name: the phase's name.
        unfrozen: names of the unfrozen blocks, from input to output.
        trainable_parameters: elements of the outer model's trainable weights.
        epochs, steps: upper bounds; early stopping may end sooner.
        learning_rate: peak rate.
        cut: as in `PhaseResult`.
        views: stored views of each training picture; 0: the frozen layers run in every epoch.
        solver: as in `PhaseResult`.
        stored_bytes: disk space that its features take.
        seconds: estimate from a timed trial; None where no trial was run.
    """

    name: str
    unfrozen: tuple[str, ...]
    trainable_parameters: int
    epochs: int
    steps: int
    learning_rate: float
    cut: str
    views: int
    solver: str
    stored_bytes: int
    seconds: float | None = None


@dataclass(frozen=True)
class Plan:
    """What a run is going to do; `--dry-run` prints it.

    Attributes:
        counts: pictures in each split.
        class_counts: training pictures of each class.
        blocks: name and parameters of each block, from input to output.
        notes: what the user should know before the run starts; in a result, of the run as well.
    """

    source: str
    counts: dict[str, int]
    class_counts: dict[str, int]
    backbone: str
    weights: str
    image_size_px: int
    parameters: int
    blocks: tuple[tuple[str, int], ...]
    phases: tuple[PhasePlan, ...]
    notes: tuple[str, ...]
