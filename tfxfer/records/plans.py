"""What a run is going to do. This module imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BadFile:
    """A file or example that cannot be used, and the reason why."""

    path: str
    reason: str


@dataclass(frozen=True)
class PhasePlan:
    """What a phase is going to do.

    Attributes:
        name: The phase's name.
        unfrozen: The names of the unfrozen blocks, from input to output.
        trainable_parameters: The number of elements of the model's trainable weights.
        epochs, steps: Upper bounds; early stopping may end the phase sooner.
        learning_rate: The peak of the learning rate.
        cut: The place of the cut, as in `PhaseResult`.
        views: The number of stored views of each training item; 0 if the frozen layers run in
            every epoch.
        solver: What fits the weights, as in `PhaseResult`.
        stored_bytes: The disk space that its features take.
        seconds: The estimated time, from a few timed steps; None if no steps were timed.
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
        source: Where the items come from.
        counts: The number of items in each split.
        class_counts: The number of training items of each class.
        backbone, weights: The name of the network and where its weights come from.
        image_size_px: The side of the pictures that the network takes.
        parameters: The number of the model's parameters.
        blocks: The name and the number of parameters of each block, from input to output.
        phases: The plan of each phase, in order.
        notes: What the user should know before the run starts; in a `RunResult`, the notes of
            the run itself are added.
        engine: What will run the frozen layers, in words for people.
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
    engine: str = ""
