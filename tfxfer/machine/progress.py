"""The progress that the terminal shows: a count of items, or a bar over items or steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tfxfer.records.results import CRITERIA


@contextmanager
def counting_items(console: Console, before: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows how many of all items were looked at.

    Args:
        console: The terminal to write to.
        before: The text that is shown until the function is called first.
    """
    with console.status(before) as status:

        def show(done: int, total: int) -> None:
            status.update(f"Looking at the pictures: {done:,} of {total:,}")

        yield show


class ItemBar:
    """A bar over items or, where there is no terminal, one line when all are done."""

    def __init__(self, label: str, total: int, console: Console):
        self._label, self._total, self._console = label, total, console
        self._done, self._start = 0, time.monotonic()
        self._bar = Progress(
            TextColumn(f"features of {label}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,}/{task.total:,} pictures, {task.fields[speed]:,.0f}/s"),
            TextColumn("<"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task(label, total=total, speed=0.0)

    def __enter__(self) -> ItemBar:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def show(self, before: int, done: int) -> None:
        """Show how many items are done: `before` in earlier files and `done` in this one."""
        self._done = before + done
        self._bar.update(self._task, completed=self._done, speed=self._speed())

    def __exit__(self, *error: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()
        elif self._done == self._total:
            self._console.print(
                f"  features of {self._label}: {self._total:,} pictures, {self._speed():,.0f}/s",
                highlight=False,
            )

    def _speed(self) -> float:
        return self._done / max(time.monotonic() - self._start, 1e-9)


class ProgressBar(keras.callbacks.Callback):
    """One bar over all steps of a phase or, where there is no terminal, a line an epoch.

    Args:
        rate: A function from a step's number in the phase, from 0, to its learning rate: while
            JAX trains, the optimizer cannot be asked.
        metric: The validation metric that is shown, a key of `CRITERIA`.
    """

    # Keras calls this from another thread, so that JAX goes on with the next steps meanwhile.
    async_safe = True

    def __init__(
        self,
        phase: str,
        *,
        epochs: int,
        steps: int,
        batch_size: int,
        console: Console,
        rate: Callable[[int], Any],
        metric: str = "accuracy",
    ):
        super().__init__()
        self._rate, self._metric = rate, metric
        self._phase, self._epochs, self._steps = phase, epochs, steps
        self._batch_size = batch_size
        self._console = console
        self._epoch = 0
        self._validation = ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("<"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def on_train_begin(self, logs=None):
        self._task = self._bar.add_task(self._phase, total=self._epochs * self._steps, figures="")
        if self._console.is_terminal:
            self._bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if not self._console.is_terminal:
            return
        step = self._epoch * self._steps + batch + 1
        task = self._bar.tasks[0]
        speed = f"{task.speed * self._batch_size:.0f} pictures/s" if task.speed else ""
        self._bar.update(
            self._task,
            completed=step,
            description=f"{self._phase} {self._epoch + 1}/{self._epochs}",
            figures=f"rate {float(self._rate(step)):.1e} loss {logs['loss']:.3f} "
            f"acc {logs['accuracy']:.3f}{self._validation} {speed}",
        )

    def on_epoch_end(self, epoch, logs=None):
        score = logs[f"val_{self._metric}"]
        name = "" if self._metric == "accuracy" else f" {CRITERIA[self._metric]}"
        self._validation = f" val{name} {score:.3f}"
        if not self._console.is_terminal:
            self._console.print(
                f"  {self._phase} {epoch + 1}/{self._epochs}  loss {logs['loss']:.3f}  "
                f"accuracy {logs['accuracy']:.3f}  validation{name} {score:.3f}",
                highlight=False,
            )

    def on_train_end(self, logs=None):
        self.close()

    def close(self) -> None:
        """Take the bar off the terminal; an exception in `fit` skips `on_train_end`."""
        if self._bar.live.is_started:
            self._bar.stop()
