"""The time of a phase, and its division into training and waiting."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from tfxfer.features.batches import Waiting
from tfxfer.features.recorder import Clock


class Spent:
    """The seconds of a phase, which are counted from the moment at which this object is made.

    Args:
        clock: The clock of the frozen layers.
    """

    def __init__(self, clock: Clock):
        self._clock, self._before, self._passed = clock, replace(clock), replace(clock)
        self._started, self._waiting = time.monotonic(), Waiting()

    def begin_training(self, waiting: Waiting) -> None:
        """Count separately from now on, because the training itself waits for its batches."""
        self._passed, self._waiting = replace(self._clock), waiting

    def seconds(self) -> dict[str, Any]:
        """Return the seconds of the phase so far, by their names in `PhaseResult`."""
        clock, before, passed = self._clock, self._before, self._passed
        # The training has waited for items, and for frozen layers that ran meanwhile.
        decoding = clock.input_seconds - passed.input_seconds
        running = clock.prefix_seconds - passed.prefix_seconds
        waited = self._waiting.seconds
        for_prefix = waited * (running / (decoding + running) if running else 0.0)
        for_input = waited - for_prefix
        return {
            "seconds": time.monotonic() - self._started,
            "input_seconds": passed.input_seconds - before.input_seconds + for_input,
            "prefix_seconds": passed.prefix_seconds - before.prefix_seconds + for_prefix,
        }
