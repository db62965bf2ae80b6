"""The network whose lower blocks are frozen: where it is cut, and what runs the frozen ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tfxfer.backbones.backbone import Backbone
from tfxfer.config.phases import ResolvedPhase
from tfxfer.errors import first_line
from tfxfer.features.choose_engine import choose_engine
from tfxfer.features.cut import Cut, build_prefix, find_cut, shapes_at
from tfxfer.features.engines import (
    BATCH,
    Engine,
    describe_engine,
    list_candidates,
)
from tfxfer.features.recorder import Recorder
from tfxfer.task import Head


@dataclass(frozen=True)
class FrozenNetwork:
    """A backbone and its head, as those see them who run the frozen blocks.

    Attributes:
        backbone: the network and its blocks.
        head: its poolings stand below the cut where nothing is unfrozen.
        engine: what is to run the frozen blocks: a key of `ENGINES`, or ``"auto"``, which chooses
            one when one is needed, and once.
    """

    backbone: Backbone
    head: Head
    engine: str = "auto"
    _measured: dict[tuple[Cut, int], int] = field(default_factory=dict, repr=False, compare=False)

    def cut_for(self, phase: ResolvedPhase) -> Cut:
        """Find where the frozen layers of a phase end."""
        return find_cut(self.backbone, self.head, phase.unfreeze)

    def measure(self, cut: Cut, lengths: np.ndarray) -> np.ndarray:
        """Tell how long the features of a ragged cut are.

        Args:
            lengths: of the items that the network reads, ``[items]``.
        """
        kinds, rows = np.unique(lengths, return_inverse=True)
        return np.array([self._measure_one(cut, int(each)) for each in kinds], np.int64)[rows]

    def _measure_one(self, cut: Cut, length: int) -> int:
        key = (cut, length)
        if key not in self._measured:
            (shape,) = shapes_at(self.backbone, cut, length)[:1]
            self._measured[key] = shape[1]
        return self._measured[key]

    def make_engine(
        self,
        cuts: Sequence[Cut],
        items: np.ndarray,
        *,
        recorder: Recorder,
        stored_by: str | None = None,
    ) -> Engine:
        """Make the layers below some cuts ready to run.

        Args:
            stored_by: the engine that has stored other features of theirs; ``"auto"`` takes it
                again, where it agrees.
            items: ``[items, size, size, 3]`` float32, some of those that will be run, to
                compare the engine with Keras on.
            recorder: is told which engine it is, and of those that were refused.
        """
        start = time.monotonic()
        before = (recorder.engine_name or stored_by) if self.engine == "auto" else None
        prefix = build_prefix(self.backbone, self.head, cuts)
        engine, refused = choose_engine(prefix, items[:BATCH], wanted=self.engine, before=before)
        for line in refused:
            recorder.say(line)
        recorder.engine_name = engine.name
        recorder.clock.prefix_seconds += time.monotonic() - start
        return engine


def list_engines(recorder: Recorder) -> tuple[str, ...]:
    """List the engines whose features will do; one, as soon as a run has taken it.

    Args:
        recorder: of the run; it is told of engines that cannot be used here.
    """
    if recorder.engine_name:
        return (recorder.engine_name,)
    usable = []
    for name in list_candidates():
        try:
            describe_engine(name)
        except Exception as failure:  # whatever a broken installation does
            recorder.say(f"engine {name} cannot be used here ({first_line(failure)})")
        else:
            usable.append(name)
    return tuple(usable)
