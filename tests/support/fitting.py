"""Phases that tests train without a run around them."""

from __future__ import annotations

import keras
from rich.console import Console

from tfxfer.backbones.blocks import Block
from tfxfer.phases import fit, prepare
from tfxfer.phases.parts import PhaseParts, PhaseRun, Watch
from tfxfer.phases.span import WHOLE
from tfxfer.records.results import PhaseResult
from tfxfer.tasks.labels import ClassLabels
from tfxfer.tasks.objective import ClassObjective

# One label an item, and classes as they are.
PLAIN = ClassObjective()


def as_labels(*numbers) -> tuple[ClassLabels, ...]:
    """Class numbers, as a task reads them."""
    return tuple(map(ClassLabels, numbers))


def fit_phase(
    backbone, head, phase, data, previous, logs, console=None, *,
    objective=PLAIN, span=WHOLE, **told,
) -> PhaseResult:  # fmt: skip
    """Train one phase, given its parts one by one."""
    parts = PhaseParts(phase, backbone, head, data.cut, objective)
    watch = Watch(logs, console or Console(quiet=True), **told)
    return fit.fit_phase(PhaseRun(parts, data, watch, previous, span))


def prepare_phase(
    backbone, head, phase, cut, steps, *, objective=PLAIN, precision="float32"
) -> tuple[keras.Model, tuple[Block, ...]]:
    """Make what trains in a phase, given its parts one by one; give its unfrozen blocks too."""
    parts = PhaseParts(phase, backbone, head, cut, objective)
    return prepare.prepare_phase(parts, steps=steps, precision=precision), parts.unfrozen
