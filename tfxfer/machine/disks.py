"""The error for a disk without room, whichever library meets it. This imports no TensorFlow."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tfxfer.errors import FullDiskError, find_full_disk, first_line


@dataclass(frozen=True)
class Place:
    """A folder that a command writes to.

    Attributes:
        what: What is written there, as the object of a sentence.
        path: The folder, which need not exist.
        instead: How another one is named, after "or".
    """

    what: str
    path: Path
    instead: str

    def free_bytes(self) -> int:
        """Return the room on the folder's disk."""
        there = next(path for path in (self.path, *self.path.parents) if path.exists())
        return shutil.disk_usage(there).free


@contextmanager
def disk_errors(places: Sequence[Place]) -> Iterator[None]:
    """Turn the error for a full disk, in whatever form, into one that names the disk.

    Args:
        places: The folders that are written to inside the ``with`` block.

    Raises:
        FullDiskError: A disk is full.
    """
    try:
        yield
    except Exception as error:
        cause = find_full_disk(error)
        if cause is None or isinstance(error, FullDiskError):
            raise
        absolute = [replace(place, path=place.path.absolute()) for place in places]
        raise _describe(cause, absolute) from error


def _describe(error: BaseException, places: Sequence[Place]) -> FullDiskError:
    """Say which of some disks is full: the one that the error names, or else the fullest."""
    text = f"{getattr(error, 'filename', None)} {error}"
    reason = re.sub(r"\{\{.*?\}\} ?", "", first_line(error))  # without TensorFlow's own places
    named = [place for place in places if str(place.path) in text]
    place = min(named or places, key=Place.free_bytes)
    return FullDiskError(
        errno.ENOSPC,
        f"{place.what} needs room. Received: a full disk at {str(place.path)!r}, with "
        f"{place.free_bytes() / 1e6:.1f} MB left ({reason}). Make room there, or "
        f"{place.instead}.",
    )
