"""The parts that a phase trains, and the functions that are told how it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from rich.console import Console

from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.blocks import Block
from tfxfer.config.phases import ResolvedPhase
from tfxfer.features.cut import POOLED, Cut
from tfxfer.features.feed import PhaseData
from tfxfer.phases.keep_best import KeepBest
from tfxfer.phases.span import WHOLE, Span
from tfxfer.records.results import PhaseResult
from tfxfer.task import Given, Head, Objective


@dataclass(frozen=True)
class PhaseParts:
    """The parts that a phase trains.

    Attributes:
        phase: The settings of the phase, whose `unfreeze` is a number of blocks.
        cut: The cut where the frozen layers end; at the items, the whole network trains.
        objective: The objective of the training.
    """

    phase: ResolvedPhase
    backbone: Backbone
    head: Head
    cut: Cut
    objective: Objective

    @property
    def unfrozen(self) -> tuple[Block, ...]:
        """The unfrozen blocks, from input to output."""
        blocks = self.backbone.blocks
        return blocks[len(blocks) - self.phase.unfreeze :]

    @property
    def trains_batch_norm(self) -> bool:
        """Whether unfrozen BatchNormalization layers use and update their batches' statistics."""
        return self.phase.batch_norm == "train"

    def is_solved(self, rows: int) -> bool:
        """Return whether the head is fitted without gradient steps, given so many stored features.

        Raises:
            InputError: The phase asks for it, but it is impossible.
        """
        return self.objective.check_solver(self.phase, self.head, self.given(rows))

    def given(self, rows: int) -> Given:
        """Describe the features that the head would be fitted on, if so many are stored."""
        return Given(self.cut.shape, rows, self.cut.name == POOLED)


@dataclass(frozen=True)
class Watch:
    """The folder, the terminal and the functions that are told how a phase goes.

    Attributes:
        logs: The folder for its curves.
        after_epoch: A function that is called after each epoch.
        tell: A function that is given the probabilities of the validation items ``[items,
            classes]``, which the kept weights give for the phase's own features.
        say: A function that is given a note, such as that the phase has to go on in float32.
        keep: A function from the best weights' callback and the precision to a callback that keeps
            how far the phase is.
    """

    logs: Path
    console: Console
    after_epoch: Callable[[], None] | None = None
    tell: Callable[[np.ndarray], None] | None = None
    say: Callable[[str], None] | None = None
    keep: Callable[[KeepBest, str], keras.callbacks.Callback] | None = None


@dataclass(frozen=True)
class PhaseRun:
    """A phase that is about to train.

    Attributes:
        data: The input of the phase.
        previous: The result of the phase before it; None for the first phase.
        span: The epochs to train now; a head that is fitted without gradient steps has none.
    """

    parts: PhaseParts
    data: PhaseData
    watch: Watch
    previous: PhaseResult | None = None
    span: Span = WHOLE

    @property
    def phase(self) -> ResolvedPhase:
        """The settings of the phase."""
        return self.parts.phase

    @property
    def steps(self) -> int:
        """The number of optimizer steps of the whole phase."""
        return self.phase.epochs * self.data.steps_per_epoch
