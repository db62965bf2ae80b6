"""Which pictures are meant: files, folders, patterns, and lists on standard input.

Imports no TensorFlow.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tfxfer.data.settings import PICTURE_ENDINGS
from tfxfer.errors import InputError

STANDARD_INPUT = "-"


def list_pictures(places: Sequence[str | Path], notes: list[str]) -> Iterator[str]:
    """Give the paths of pictures, in the order in which they were named.

    A file that is named is given whatever it is, and whether or not it is there: the prediction
    says so. Of a folder and of a pattern, what has a picture's ending is given, in sorted order.

    Args:
        places: files, folders, patterns such as ``photos/**/*.jpg``, and ``"-"``: paths on
            standard input, one a line.
        notes: gets what the user should know.

    Raises:
        InputError: a folder or pattern holds no picture, or standard input none.
    """
    for place in [os.fspath(place) for place in places]:
        if place == STANDARD_INPUT:
            yield from _read_list()
        elif os.path.isdir(place):
            yield from _list_folder(place, notes)
        elif glob.has_magic(place) and not os.path.exists(place):
            yield from _expand(place, notes)
        else:
            yield place


def _read_list() -> Iterator[str]:
    count = 0
    # Bytes, since a file's name need not be UTF-8.
    for line in sys.stdin.buffer:
        name = line.rstrip(b"\r\n")
        if name:
            count += 1
            yield os.fsdecode(name)
    if not count:
        raise InputError(
            "'-' takes a list of pictures from standard input, one path a line. Received: none. "
            "Pipe it in: find photos -name '*.jpg' | tfxfer predict RUN -"
        )


def _list_folder(folder: str, notes: list[str]) -> Iterator[str]:
    pictures = others = 0
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if Path(name).suffix.lower() in PICTURE_ENDINGS:
                pictures += 1
                yield os.path.join(path, name)
            elif not name.startswith("."):
                others += 1
    if others:
        notes.append(f"{others} files in {folder} have no picture's ending and were not read")
    if not pictures:
        raise InputError(
            f"A folder must hold pictures ({', '.join(sorted(PICTURE_ENDINGS))}). Received: "
            f"{folder!r}, which holds none. Check the path."
        )


def _expand(pattern: str, notes: list[str]) -> Iterator[str]:
    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        raise InputError(
            f"A pattern must match files. Received: {pattern!r}, which matches none here. "
            "Check it; ** goes through all folders."
        )
    for path in found:
        if os.path.isdir(path):
            # `**` itself gives folders, whose files it gives as well.
            if "**" not in pattern:
                yield from _list_folder(path, notes)
        else:
            yield path
