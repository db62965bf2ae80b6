"""Unpack an archive that nobody vouches for: nothing outside, no links, no more than fits."""

from __future__ import annotations

from pathlib import Path

from tfxfer.sources.unpack.members import LIMITS, Guard, Limits
from tfxfer.sources.unpack.tar import unpack_tar
from tfxfer.sources.unpack.zip import unpack_zip

ARCHIVE_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def unpack(archive: Path, folder: Path, limits: Limits = LIMITS) -> None:
    """Unpack a zip or tar archive into an empty folder, without links and hidden files.

    Raises:
        InputError: the archive is broken or encrypted, a member has a path outside of the folder,
            or is a link or no file, or `limits` are passed.
        OSError: the folder cannot be written to.
    """
    unpack_kind = unpack_zip if archive.name.lower().endswith(".zip") else unpack_tar
    unpack_kind(archive, folder, Guard(archive, folder, limits))
