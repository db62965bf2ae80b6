"""What a phase trains, and what it is told to do about it."""

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
    """What a phase trains.

    Attributes:
        phase: its `unfreeze` is a number of blocks.
        cut: where its frozen layers end; at the items, the whole network trains.
        objective: what training is after.
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
        """Whether its head is fitted without gradient steps, given so many stored features.

        Raises:
            InputError: the phase asks for it, and it cannot.
        """
        return self.objective.check_solver(self.phase, self.head, self.given(rows))

    def given(self, rows: int) -> Given:
        """What the head would be fitted on, of so many stored features."""
        return Given(self.cut.shape, rows, self.cut.name == POOLED)


@dataclass(frozen=True)
class Watch:
    """Who is told how a phase goes.

    Attributes:
        logs: folder for its curves.
        after_epoch: is called after each epoch.
        tell: is given the probabilities of the validation items ``[items, classes]``, as the
            weights that were kept give them for the phase's own features.
        say: is given a note where the phase had to go on in float32.
        keep: makes a callback that keeps how far the phase is, of what is best and the precision.
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
        data: what it trains on.
        previous: what the phase before it came to; None: it is the first.
        span: epochs to train now; a head that is solved knows none.
    """

    parts: PhaseParts
    data: PhaseData
    watch: Watch
    previous: PhaseResult | None = None
    span: Span = WHOLE

    @property
    def phase(self) -> ResolvedPhase:
        """What the phase is told to do."""
        return self.parts.phase

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole phase."""
        return self.phase.epochs * self.data.steps_per_epoch
