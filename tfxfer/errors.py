"""The one exception that a user's mistake raises; command lines turn it into exit code 2."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """A request that cannot be carried out as given.

    The message names what is allowed, what was received and what to do next.
    """


def nearest(received: str, allowed: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest allowed name, or an empty string."""
    names = {name.lower(): name for name in allowed}
    close = get_close_matches(received.lower(), names, n=1, cutoff=0.5)
    return f" Did you mean '{names[close[0]]}'?" if close else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, with its type."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def exit_code(action: Callable[[], object]) -> int:
    """Run a command; 2 with the message on standard error for a mistake.

    Returns:
        What the command returns, if that is a number, else 0.
    """
    # A job scheduler's or a container's stop ends a run as Ctrl-C does: it cleans up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Looking for garbage among TensorFlow's million objects takes over a second when it ends.
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal does not know must not end a run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = action()
    except InputError as error:
        print(f"error: {error}", *_notes_of(error), sep="\n", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"error: a file or folder cannot be used. Received: {error}. "
            "Check that it exists, may be read and written, and that the disk has room.",
            *_notes_of(error),
            sep="\n",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt as error:
        print("interrupted;", *(_notes_of(error) or ["nothing was kept"]), file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0


def _notes_of(error: BaseException) -> list[str]:
    """What was added to an error on its way, such as what is left."""
    return getattr(error, "__notes__", [])
