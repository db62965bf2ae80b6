"""Which pictures a command means: files, folders, patterns, a list on standard input.

Imports no TensorFlow.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfxfer.config.places import is_address
from tfxfer.errors import InputError
from tfxfer.modalities.pictures.settings import PICTURE_ENDINGS

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Named:
    """The files that were meant.

    Attributes:
        paths: in the order in which they were named, each as often as it was named. Bytes that are
            no UTF-8 are in them as Python keeps them (surrogateescape).
        others: how many files of folders and patterns have no picture's ending and are left out.
    """

    paths: tuple[str, ...]
    others: int = 0


def list_pictures(places: Sequence[str | Path]) -> Named:
    """List the files that are meant.

    A file that is named is listed whatever it is, and whether or not it is there: predicting it
    says what is wrong. Of folders and patterns, files with a picture's ending are, in sorted order.

    Args:
        places: files, folders, patterns such as ``"photos/**/*.jpg"``, and ``"-"``: paths on
            standard input, one a line.

    Raises:
        InputError: nothing is named, or a folder, a pattern or standard input holds no picture.
    """
    if not places:
        raise InputError(
            "Pictures are files, folders, patterns, or '-' for a list on standard input. Received: "
            "none. Name at least one."
        )
    paths: list[str] = []
    others = 0
    for place in [os.fspath(place) for place in places]:
        if place == STANDARD_INPUT:
            found, left_out = _read_list(), 0
        elif os.path.isdir(place):
            found, left_out = _by_ending(_walk(place))
            _check_any(found, left_out, f"a folder: {place!r}")
        elif glob.has_magic(place) and not is_address(place) and not os.path.lexists(place):
            found, left_out = _by_ending(_expand(place))
            _check_any(found, left_out, f"a pattern: {place!r}")
        else:
            found, left_out = [place], 0
        paths += found
        others += left_out
    return Named(tuple(paths), others)


def _read_list() -> list[str]:
    # Bytes, since a file's name need not be UTF-8.
    lines = (line.rstrip(b"\r\n") for line in sys.stdin.buffer)
    found = [os.fsdecode(line) for line in lines if line.strip()]
    if not found:
        raise InputError(
            "'-' reads paths of pictures from standard input, one a line. Received: none. Pipe "
            "them in: find photos -name '*.jpg' | tfxfer predict MODEL -"
        )
    return found


def _walk(folder: str) -> Iterator[str]:
    """Every file below a folder, links followed, but for hidden ones.

    A folder that cannot be read is given itself: predicting it says so, and the rest goes on.
    """
    unreadable: list[str] = []
    seen = set()
    for path, folders, names in os.walk(
        folder, onerror=lambda error: unreadable.append(str(error.filename)), followlinks=True
    ):
        # A link back to a folder that was read would be walked for ever.
        real = os.path.realpath(path)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(path, name) for name in names if not name.startswith("."))
    yield from unreadable


def _expand(pattern: str) -> Iterator[str]:
    """The files that match, and those below the folders that match, as of a shell."""
    parts = os.path.normpath(pattern).split(os.sep)
    if "**" in parts:
        yield from _expand_deep(parts, parts.index("**"))
        return
    for path in glob.iglob(pattern):
        if os.path.isdir(path):
            yield from _walk(path)
        else:
            yield path


def _expand_deep(parts: list[str], first: int) -> Iterator[str]:
    """The same where a part is ``**``, any folders; Python's glob goes round and round in links."""
    start = os.sep.join(parts[:first])
    if first == 1 and not parts[0]:
        start = os.sep
    for folder in glob.iglob(start) if start else [os.curdir]:
        for file in _walk(folder):
            below = os.path.relpath(file, folder).split(os.sep)
            # What lies below a folder that matches is meant too.
            if os.path.isdir(file) or _matches(below, [*parts[first:], "**"]):
                yield file if start else os.path.relpath(file)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return (
        bool(parts)
        and fnmatch.fnmatchcase(parts[0], pattern[0])
        and _matches(parts[1:], pattern[1:])
    )


def _by_ending(files: Iterable[str]) -> tuple[list[str], int]:
    """Those that look like pictures, each once and in sorted order, and how many others."""
    # Several folders that match may hold the same file.
    unique = sorted(set(files))
    taken = [
        file
        for file in unique
        if os.path.splitext(file)[1].lower() in PICTURE_ENDINGS or os.path.isdir(file)
    ]
    return taken, len(unique) - len(taken)


def _check_any(found: Sequence[str], others: int, what: str) -> None:
    if not found:
        rest = f", and {others:,} other files" if others else ""
        raise InputError(
            "A folder or a pattern must hold pictures, which end in "
            f"{', '.join(sorted(PICTURE_ENDINGS))}. Received: {what}, with none{rest}. Check it "
            "(** in a pattern goes through all folders), or name the files themselves."
        )
