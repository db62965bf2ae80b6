"""The stages of a run: how long each takes, and a profile of the functions that are called."""

from __future__ import annotations

import cProfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tfxfer.errors import InputError


class Stages:
    """A clock of stages that follow one another; a stage begins where the one before it ended.

    Args:
        started: When the first stage began, as `time.monotonic` counts; None stands for now.

    Attributes:
        seconds: The seconds of each stage that has ended, by its name.
    """

    def __init__(self, started: float | None = None):
        self.started = time.monotonic() if started is None else started
        self._begun = self.started
        self.seconds: dict[str, float] = {}

    def end(self, name: str) -> None:
        """Note that the present stage has ended, and begin the next one."""
        now = time.monotonic()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._begun
        self._begun = now

    def skip(self) -> None:
        """Begin the next stage; the time since the last one is counted elsewhere."""
        self._begun = time.monotonic()


@contextmanager
def profiled(file: Path | None, say: Callable[[str], None] = print) -> Iterator[None]:
    """Write a profile of all Python functions that are called in the block, if a file is named.

    `python -m pstats FILE` reads it, and viewers such as snakeviz draw it. Profiling slows Python
    down by about a fourth.

    Args:
        say: A function that is given a note if the profile cannot be written at the end.

    Raises:
        InputError: The file is there already, or cannot be written.
    """
    if file is None:
        yield
        return
    try:
        file.open("xb").close()
    except OSError as error:
        raise InputError(
            f"--profile takes a new file that can be written. Received: {str(file)!r} "
            f"({error.strerror}). Name another file."
        ) from error
    profile = cProfile.Profile()
    try:
        with profile:
            yield
    finally:
        try:
            profile.dump_stats(file)
        except OSError as error:  # This must not hide how the run ended.
            say(f"the profile cannot be written to {str(file)!r} ({error.strerror})")
