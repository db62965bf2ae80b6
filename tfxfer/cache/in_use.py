"""Folders of the cache whose files are opened by name: they stay as long as a process needs them.

A process holds a folder by the system's lock on it, which ends with the process, however that ends.
Where there are no such locks (Windows, some network drives), nothing is held.
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

# Descriptors of the folders that this process holds, which have to stay open.
_HELD: dict[Path, int] = {}


def hold(folder: Path) -> bool:
    """Keep a folder from being cleared from now on, to the end of the process.

    Returns:
        Whether it is there.
    """
    # A list: threads that unpack other archives come here as well.
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
    # It may have been cleared while the lock was waited for, and another one may be there now.
    if not _is(folder, descriptor):
        os.close(descriptor)
        return False
    _HELD[folder] = descriptor
    return True


def _is(path: Path, descriptor: int) -> bool:
    """Whether what was opened still lies at a path."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Say whether no process holds something of the cache; in the block, none begins to."""
    descriptor = None
    try:
        if fcntl is not None:
            descriptor = os.open(path, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_free = True
    except OSError as error:  # others than the first: it is gone, or there are no locks
        is_free = not isinstance(error, BlockingIOError)
    try:
        yield is_free
    finally:
        if descriptor is not None:
            os.close(descriptor)
