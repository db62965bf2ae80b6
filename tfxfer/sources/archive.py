"""An archive of a folder of pictures, which is unpacked once and never trusted."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from tfxfer.cache.folder import UNFINISHED
from tfxfer.cache.in_use import hold
from tfxfer.config.data import DataConfig
from tfxfer.config.places import ALLOWED_SOURCES, is_address
from tfxfer.data.listing import Listing
from tfxfer.errors import InputError
from tfxfer.sources.folder import read_folder
from tfxfer.sources.folders.names import is_split
from tfxfer.sources.folders.walk import look_through
from tfxfer.sources.unpack.members import LIMITS, Limits
from tfxfer.sources.unpack.unpack import unpack
from tfxfer.task import Tasks


def list_archive(config: DataConfig, cache: Path, tasks: Tasks) -> Listing:
    """Unpack an archive of class folders, unless that was done before, and list its pictures.

    The class folders may lie in one outer folder. The archive is unpacked below ``archives/`` in
    the cache.

    Raises:
        InputError: The archive is not there, broken, encrypted or too large, or has members that
            lead out of it.
    """
    source = str(config.source)
    if is_address(source):
        raise InputError(
            "An archive must lie in the file system, from where it is unpacked. Received: "
            f"{source!r}. Copy it to this machine, or unpack it there and name the folder."
        )
    folder, is_new = unpack_once(Path(source), cache / "archives", LIMITS)
    notes = [f"the archive was unpacked to {folder}, for later runs as well"] if is_new else []
    inner = look_through(str(folder), is_split)
    return read_folder(inner, source, config, tasks=tasks, notes=notes)


def unpack_once(archive: Path, place: Path, limits: Limits) -> tuple[Path, bool]:
    """Unpack an archive into a folder of its own; an archive that was changed gets another one.

    The folder gets its name when everything is unpacked, so that a failed attempt leaves nothing.
    It is not cleared from the cache while this process lives.

    Args:
        archive: The archive's file.
        place: The folder in which the folder is made.
        limits: The limits on the archive's content.

    Returns:
        The folder, and whether it is new.

    Raises:
        InputError: The archive cannot be unpacked.
    """
    if not archive.is_file():
        raise InputError(
            f"data must be {ALLOWED_SOURCES}. Received: {str(archive)!r}, which is not there. "
            "Check the path."
        )
    status = archive.stat()
    identity = f"{archive.resolve()}|{status.st_size}|{status.st_mtime_ns}"
    folder = place / hashlib.sha256(os.fsencode(identity)).hexdigest()[:32]
    if hold(folder):
        return folder, False
    try:
        _unpack_beside(archive, folder, limits)
    except OSError as error:
        # Another run may have been faster and have made the folder.
        if not hold(folder):
            raise InputError(
                "An archive is unpacked before it is read. Received: "
                f"{str(archive)!r}, and the error {error}. Make sure that {str(place)!r} may be "
                "written to and has room, or name another folder with "
                "--set features.cache_dir=DIR or the environment variable TFXFER_CACHE."
            ) from error
        return folder, False
    hold(folder)
    return folder, True


def _unpack_beside(archive: Path, folder: Path, limits: Limits) -> None:
    """Unpack into a temporary folder, which is renamed when it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    try:
        unpack(archive, unfinished, limits)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
