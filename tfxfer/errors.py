"""The exception that a user's mistake raises, which command lines turn into exit code 2."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches

# These error numbers say that the disk, or the user's quota, is full.
FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_TEXTS = tuple(map(os.strerror, FULL))


class InputError(ValueError):
    """A request that cannot be carried out as given.

    The message names what is allowed, what was received and what to do next.

    Example:
        >>> import tfxfer
        >>> try:
        ...     tfxfer.load_config("brids")
        ... except tfxfer.InputError as error:
        ...     print("Did you mean 'birds'" in str(error))
        True
    """


class FullDiskError(OSError):
    """An error which says which disk has no room left, and what to do."""

    def __str__(self) -> str:
        return str(self.strerror)


def find_full_disk(error: BaseException | None) -> BaseException | None:
    """Return the error which says that a disk, or the user's part of it, is full.

    TensorFlow and h5py raise errors of their own types, with the system's words in their texts.

    Args:
        error: An error, which may have others as its causes.

    Returns:
        The error or one of its causes; None if none of them says so.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return error
        if any(words in str(error) for words in _FULL_TEXTS):
            return error
        error = error.__cause__
    return None


def nearest(received: str, allowed: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest allowed name, or an empty string."""
    names = {name.lower(): name for name in allowed}
    close = get_close_matches(received.lower(), names, n=1, cutoff=0.5)
    return f" Did you mean '{names[close[0]]}'?" if close else ""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, with its type."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def exit_code(action: Callable[[], object]) -> int:
    """Run a command and return its exit code; print a mistake's message on standard error.

    Returns:
        What the command returns if that is an integer, else 0; 2 after a mistake, and 130 after
        Ctrl-C.
    """
    # Job schedulers and containers send SIGTERM, which ends a run as Ctrl-C does, with a clean-up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # At exit, the garbage collector would take over a second for TensorFlow's million objects.
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal cannot show must not end a run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = action()
    except InputError as error:
        print(f"error: {error}", *_notes_of(error), sep="\n", file=sys.stderr)
        return 2
    except FullDiskError as error:
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
    except Exception as error:
        cause = find_full_disk(error)
        if cause is None:
            raise
        print(
            "error: files are written, and need room. Received: a full disk "
            f"({first_line(cause)}). Make room, and say the same again.",
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
    """Return the notes that were added to an error, for example about the remaining files."""
    return getattr(error, "__notes__", [])
