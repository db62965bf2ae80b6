"""The network whose lower blocks are frozen: its cuts, and the engine of its frozen blocks."""

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
    """A backbone and its head, with the engine that runs the frozen blocks.

    Attributes:
        backbone: The network and its blocks.
        head: The head, whose poolings lie below the cut if nothing is unfrozen.
        engine: The engine of the frozen blocks: a key of `ENGINES`, or ``"auto"``, which chooses
            one once, when it is first needed.
    """

    backbone: Backbone
    head: Head
    engine: str = "auto"
    _measured: dict[tuple[Cut, int], int] = field(default_factory=dict, repr=False, compare=False)

    def cut_for(self, phase: ResolvedPhase) -> Cut:
        """Find where the frozen layers of a phase end."""
        return find_cut(self.backbone, self.head, phase.unfreeze)

    def measure(self, cut: Cut, lengths: np.ndarray) -> np.ndarray:
        """Return the lengths of the features at a ragged cut, ``[items]`` int64.

        Args:
            lengths: The lengths of the items as the network reads them, ``[items]``.
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
            items: ``[items, size, size, 3]`` float32, some of the items that will be run, on which
                the engine is compared with Keras.
            recorder: The recorder, which is told the engine's name, and which ones were refused.
            stored_by: The engine that has stored other features of these layers; ``"auto"`` takes
                it again if it agrees with Keras.
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
    """Return the engines whose features can be used: only one, once the run has chosen it.

    Args:
        recorder: The recorder of the run, which is told of engines that cannot be used here.
    """
    if recorder.engine_name:
        return (recorder.engine_name,)
    usable = []
    for name in list_candidates():
        try:
            describe_engine(name)
        except Exception as failure:  # A broken installation may raise any error.
            recorder.say(f"engine {name} cannot be used here ({first_line(failure)})")
        else:
            usable.append(name)
    return tuple(usable)
