"""Locks on folders of the cache, which stay as long as a process needs them.

A process holds a folder by a lock of the operating system, which ends with the process, even if it
is killed. Where there are no such locks (Windows, some network drives), nothing is held.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

# The open descriptors of the folders that this process holds; closing one releases its lock.
_HELD: dict[Path, int] = {}


def hold(folder: Path) -> bool:
    """Keep a folder from being cleared from now on, until the process ends.

    Returns:
        Whether the folder is there.
    """
    # The loop goes over a copy, because other threads may change the dictionary meanwhile.
    for path, descriptor in list(_HELD.items()):
        if not _is(path, descriptor) and _HELD.pop(path, None) is not None:
            os.close(descriptor)
    if folder in _HELD or fcntl is None:
        return folder.is_dir()
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return folder.is_dir()
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    # While this process waited for the lock, the folder may have been cleared and made again.
    if not _is(folder, descriptor):
        os.close(descriptor)
        return False
    _HELD[folder] = descriptor
    return True


def _is(path: Path, descriptor: int) -> bool:
    """Return whether a descriptor's folder still lies at its path."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Say whether no process holds a path of the cache; inside the block, none can begin to."""
    descriptor = None
    try:
        if fcntl is not None:
            descriptor = os.open(path, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_free = True
    except OSError as error:  # Other errors say that the path is gone, or that locks do not exist.
        is_free = not isinstance(error, BlockingIOError)
    try:
        yield is_free
    finally:
        if descriptor is not None:
            os.close(descriptor)
