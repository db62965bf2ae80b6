"""The one exception that a user's mistake raises; command lines turn it into exit code 2."""

from __future__ import annotations

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


def exit_code(action: Callable[[], object]) -> int:
    """Run a command: 0 when it is done, 2 with the message on standard error for `InputError`."""
    try:
        action()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was kept", file=sys.stderr)
        return 130
    return 0
