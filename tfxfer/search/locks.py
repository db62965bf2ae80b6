"""Locks by which a search knows its living processes: a lock ends with the process."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from tfxfer.search.folder import LOCKS


def lock_of(search: Path, worker: str) -> FileLock:
    """Return the lock that a process of a search holds while it lives."""
    place = search / LOCKS
    place.mkdir(parents=True, exist_ok=True)
    return FileLock(place / f"{worker}.lock")


def is_alive(search: Path, worker: str) -> bool:
    """Return whether the process with this name holds its lock."""
    try:
        with lock_of(search, worker).acquire(timeout=0):
            return False
    except Timeout:
        return True
