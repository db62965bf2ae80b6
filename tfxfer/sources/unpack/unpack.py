"""The safe unpacking of archives: no file outside the folder, no links, no overfull disk."""

from __future__ import annotations

from pathlib import Path

from tfxfer.sources.unpack.members import LIMITS, Guard, Limits
from tfxfer.sources.unpack.tar import unpack_tar
from tfxfer.sources.unpack.zip import unpack_zip

ARCHIVE_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def unpack(archive: Path, folder: Path, limits: Limits = LIMITS) -> None:
    """Unpack a zip or tar archive into an empty folder, without links and hidden files.

    Raises:
        InputError: The archive is broken or encrypted or exceeds `limits`, or a member is a link,
            is no file, or has a path outside of the folder.
        OSError: The folder cannot be written to.
    """
    unpack_kind = unpack_zip if archive.name.lower().endswith(".zip") else unpack_tar
    unpack_kind(archive, folder, Guard(archive, folder, limits))
