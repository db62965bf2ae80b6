"""The network whose lower blocks are frozen: its cuts, and the engine of its frozen blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tfxfer.backbones.backbone import Backbone
from tfxfer.config.phases import ResolvedPhase
from tfxfer.errors import first_line
from tfxfer.features.choose_engine import Reference, choose_engine, choose_served
from tfxfer.features.cut import Cut, build_prefix, find_cut, shapes_at
from tfxfer.features.engines import (
    ENGINES,
    Engine,
    describe_engine,
    list_candidates,
    list_served,
)
from tfxfer.features.recorder import Recorder
from tfxfer.features.trials import Trial
from tfxfer.task import Head


@dataclass(frozen=True)
class FrozenNetwork:
    """A backbone and its head, with the engine that runs the frozen blocks.

    Attributes:
        backbone: The network and its blocks.
        head: The head, whose poolings lie below the cut if nothing is unfrozen.
        engine: The engine of the frozen blocks: a key of `ENGINES`, or ``"auto"``, which chooses
            one once, when it is first needed.
        is_served: Whether features are computed as the served model computes them, in float32.
    """

    backbone: Backbone
    head: Head
    engine: str = "auto"
    is_served: bool = False
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

    def refer(self, cuts: Sequence[Cut], sample: Callable[[], np.ndarray]) -> Reference:
        """Return the layers below some cuts, with Keras's features of some items.

        Args:
            sample: A function that gives some of the items that will be run ``[items, …]`` float32.
        """
        return Reference(build_prefix(self.backbone, self.head, cuts), sample)

    def make_engine(
        self,
        reference: Reference,
        *,
        recorder: Recorder,
        stored_by: str | None = None,
        known: Trial | None = None,
    ) -> Engine:
        """Make the layers below some cuts ready to run.

        Args:
            reference: The layers, and Keras's features.
            recorder: The recorder, which is told the engine's name, and which ones were refused.
            stored_by: The engine that has stored other features of these layers; ``"auto"`` takes
                it again if it agrees with Keras.
            known: The outcome of an earlier comparison, which then need not be made again.
        """
        start = time.monotonic()
        before = (recorder.engine_name or stored_by) if self.engine == "auto" else None
        engine = self._take_up(reference, known, before)
        refused: Sequence[str] = ()
        if engine is None and self.is_served:
            engine = choose_served(reference, self.candidates())
        elif engine is None:
            engine, refused = choose_engine(reference, wanted=self.engine, before=before)
        for line in refused:
            recorder.say(line)
        recorder.engine_name = engine.name
        recorder.note_error([engine.error])
        recorder.clock.prefix_seconds += time.monotonic() - start
        return engine

    def _take_up(
        self, reference: Reference, known: Trial | None, before: str | None
    ) -> Engine | None:
        """Make the engine of an earlier comparison ready; None if another one is to be chosen."""
        if (
            known is None
            or known.engine not in self.candidates()
            or before not in (None, known.engine)
        ):
            return None
        try:
            run = ENGINES[known.engine](reference.prefix)
        except Exception:  # It ran then. A comparison will say why it does not now.
            return None
        return Engine(known.engine, run, known.error, known.items_per_second)

    def candidates(self) -> tuple[str, ...]:
        """Return the engines that are worth a comparison for these features."""
        if self.is_served:
            return list_served(self.engine)
        return list_candidates() if self.engine == "auto" else (self.engine,)

    def list_engines(self, recorder: Recorder) -> tuple[str, ...]:
        """Return the engines whose features can be used: only one, once the run has chosen it.

        Args:
            recorder: The recorder of the run, which is told of engines that cannot be used here.
        """
        if recorder.engine_name:
            return (recorder.engine_name,)
        usable = []
        for name in self.candidates():
            try:
                describe_engine(name)
            except Exception as failure:  # A broken installation may raise any error.
                recorder.say(f"engine {name} cannot be used here ({first_line(failure)})")
            else:
                usable.append(name)
        return tuple(usable)
