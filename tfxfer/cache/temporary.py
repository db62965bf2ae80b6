"""A temporary folder of a command's own, which is removed with all that libraries leave in it.

TensorFlow and TensorFlow Datasets write sources and folders to the temporary folder that stay when
a process is killed, and some that stay in any case. This module imports no TensorFlow.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfxfer.cache.folder import is_abandoned
from tfxfer.cache.in_use import claim, hold

# A longer prefix would make the paths of sockets too long on macOS.
_PREFIX = "tfxfer."


def shared_temporary() -> Path:
    """Return the temporary folder of all processes, which outlives a command."""
    place = Path(tempfile.gettempdir())
    while place.name.startswith(_PREFIX):
        place = place.parent
    return place


@contextmanager
def own_temporary() -> Iterator[Path]:
    """Give this process, and those that it starts, a temporary folder that is gone afterwards.

    Folders that killed commands have left long ago are removed as well.
    """
    _remove_abandoned(shared_temporary())
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
        hold(Path(name))
        tempfile.tempdir = os.environ["TMPDIR"] = name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before[0]
            if before[1] is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before[1]


def _remove_abandoned(place: Path) -> None:
    for path in place.glob(f"{_PREFIX}*"):
        if path.is_dir() and is_abandoned(path):
            with claim(path) as is_free:
                if is_free:
                    shutil.rmtree(path, ignore_errors=True)
