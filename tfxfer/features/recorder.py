"""What a run tells of its frozen layers: where the time goes, what runs them, and what to note."""

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
    """Seconds that frozen layers took: waiting for decoded items, and for the engine."""

    input_seconds: float = 0.0
    prefix_seconds: float = 0.0
    items: int = 0


@dataclass
class Recorder:
    """Keeps what is to be said of a run's frozen layers.

    Attributes:
        console: prints the notes.
        engine_name: what gave the features, now or when they were stored; None before the first.
        clock: says where the time went so far.
        notes: what was printed for the user.
    """

    console: Console
    engine_name: str | None = None
    clock: Clock = field(default_factory=Clock)
    notes: list[str] = field(default_factory=list)

    def say(self, note: str) -> None:
        """Print a note once, and keep it."""
        if note not in self.notes:
            self.notes.append(note)
            self.console.print(f"[yellow]note[/] {escape(note)}")

    def time(self, engine: Engine, batches: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """Run an engine and keep the time: what is not waiting for items is the engine's.

        Args:
            batches: items ``[batch, size, size, 3]`` float32, at most `BATCH` each.

        Returns:
            Features ``[batch, …]`` float32 by cut, for each batch in its order.
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
