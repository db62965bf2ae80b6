"""The recorder of a run's frozen layers: their times, their engine, and notes for the user."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.markup import escape

from tfxfer.features.engines import Engine


@dataclass
class Clock:
    """The seconds of waiting for decoded items and for the engine, and the number of items."""

    input_seconds: float = 0.0
    prefix_seconds: float = 0.0
    items: int = 0


@dataclass
class Recorder:
    """The times, the engine and the notes of a run's frozen layers.

    Attributes:
        console: The console that prints the notes.
        engine_name: The engine that computed the features, now or when they were stored; None
            until there is one.
        engine_error: The largest relative difference of the run's features from Keras's, as it was
            found when they were computed; None if it is not known.
        clock: The times so far.
        notes: The notes that were printed for the user.
    """

    console: Console
    engine_name: str | None = None
    engine_error: float | None = None
    clock: Clock = field(default_factory=Clock)
    notes: list[str] = field(default_factory=list)

    def say(self, note: str) -> None:
        """Print a note once, and keep it."""
        if note not in self.notes:
            self.notes.append(note)
            self.console.print(f"[yellow]note[/] {escape(note)}")

    def note_error(self, errors: Iterable[float]) -> None:
        """Note how far features that the run uses are from Keras's."""
        before = [] if self.engine_error is None else [self.engine_error]
        self.engine_error = max([*before, *errors], default=None)

    def time(self, engine: Engine, batches: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """Run an engine and keep its time, which is all the time that is not spent on waiting.

        Args:
            batches: Batches of items ``[batch, size, size, 3]`` float32, at most `BATCH` each.

        Returns:
            A list of features ``[batch, …]`` float32, one for each cut, for each batch in order.
        """
        waited = 0.0

        def timed() -> Iterator[np.ndarray]:
            nonlocal waited
            iterator = iter(batches)
            while True:
                start = time.monotonic()
                batch = next(iterator, None)
                waited += time.monotonic() - start
                if batch is None:
                    return
                self.clock.items += len(batch)
                yield batch

        results = engine.run(timed())
        while True:
            start, before = time.monotonic(), waited
            result = next(results, None)
            waiting = waited - before
            self.clock.input_seconds += waiting
            self.clock.prefix_seconds += time.monotonic() - start - waiting
            if result is None:
                return
            yield result
