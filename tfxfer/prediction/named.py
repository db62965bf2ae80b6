"""The items that a command names: files, folders, patterns, or a list on standard input.

This module imports no TensorFlow.
"""

from __future__ import annotations

import codecs
import fnmatch
import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfxfer.config.places import is_address
from tfxfer.errors import InputError
from tfxfer.kinds import ENDINGS
from tfxfer.sources.folders.names import is_hidden

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Named:
    """The files that were named.

    Attributes:
        paths: The paths in the order in which they were named, each as often as it was named. Bytes
            that are not UTF-8 are kept as surrogates, as Python does (surrogateescape).
        others: The number of files in folders and patterns that were left out because they do not
            have an item's ending.
    """

    paths: tuple[str, ...]
    others: int = 0


def list_items(places: Sequence[str | Path]) -> Named:
    """List the files that are named.

    A single file is listed even if it is no item or not there: its prediction says what is
    wrong. Folders and patterns give the files with an item's ending, in sorted order.

    Args:
        places: Files, folders, patterns such as ``"photos/**/*.jpg"``, or ``"-"`` for paths on
            standard input, one in each line.

    Raises:
        InputError: Nothing is named, or a folder, a pattern or standard input holds no item.
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
    # The lines are read as bytes, because a file's name need not be UTF-8.
    lines = [line.rstrip(b"\r\n") for line in sys.stdin.buffer]
    if lines:
        lines[0] = lines[0].removeprefix(codecs.BOM_UTF8)  # Windows begins a text with this mark.
    found = [os.fsdecode(line) for line in lines if line.strip()]
    if not found:
        raise InputError(
            "'-' reads paths of pictures from standard input, one a line. Received: none. Pipe "
            "them in: find photos -name '*.jpg' | tfxfer predict MODEL -"
        )
    return found


def _walk(folder: str) -> Iterator[str]:
    """Yield every file below a folder except hidden ones, and follow links.

    The path of an unreadable folder is yielded itself, so that its row says what is wrong and the
    other files are still predicted.
    """
    unreadable: list[str] = []
    seen = set()
    for path, folders, names in os.walk(
        folder, onerror=lambda error: unreadable.append(str(error.filename)), followlinks=True
    ):
        # A link back to a folder that was read would lead to an endless walk.
        real = os.path.realpath(path)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield from (os.path.join(path, name) for name in names if not is_hidden(name))
    yield from unreadable


def _expand(pattern: str) -> Iterator[str]:
    """Yield the files that match, as in a shell, and all files below folders that match."""
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
    """Yield the same for a pattern with ``**``, in which Python's glob may follow links forever."""
    start = os.sep.join(parts[:first])
    if first == 1 and not parts[0]:
        start = os.sep
    for folder in glob.iglob(start) if start else [os.curdir]:
        for file in _walk(folder):
            below = os.path.relpath(file, folder).split(os.sep)
            # The files below a folder that matches are named, too.
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
    """Return the files with an item's ending, sorted and each once, and the number of others."""
    # The same file may lie below several folders that match.
    unique = sorted(set(files))
    taken = [
        file
        for file in unique
        if os.path.splitext(file)[1].lower() in ENDINGS or os.path.isdir(file)
    ]
    return taken, len(unique) - len(taken)


def _check_any(found: Sequence[str], others: int, what: str) -> None:
    if not found:
        rest = f", and {others:,} other files" if others else ""
        raise InputError(
            "A folder or a pattern must hold pictures, which end in "
            f"{', '.join(sorted(ENDINGS))}. Received: {what}, with none{rest}. Check it "
            "(** in a pattern goes through all folders), or name the files themselves."
        )
