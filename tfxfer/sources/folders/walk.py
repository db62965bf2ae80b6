"""The files and folders of a folder on a disk or at an address, without hidden ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from tfxfer.config.places import is_address
from tfxfer.errors import InputError
from tfxfer.kinds import ENDINGS
from tfxfer.machine.files import join, list_address
from tfxfer.sources.folders.names import is_hidden


def look_through(folder: str, is_place: Callable[[str], bool] = lambda name: False) -> str:
    """Return the folder that is meant where folders hold a single folder each.

    Args:
        folder: The folder to begin with.
        is_place: A function that says by its name whether a single folder is one of those that are
            looked for, such as a class folder, so that the folder around it is meant.
    """
    folders = visible_folders(folder)
    passed = {os.path.realpath(folder)}
    while len(folders) == 1 and not is_place(folders[0]):
        inner = join(folder, folders[0])
        if os.path.realpath(inner) in passed:
            break  # A link leads back.
        passed.add(os.path.realpath(inner))
        folders = visible_folders(inner)
        if folders:
            folder = inner
    return folder


def visible_folders(folder: str) -> list[str]:
    """Return the sorted names of the folders in a folder, without hidden and system folders."""
    return [name for name in list_here(folder)[0] if not is_hidden(name)]


def list_here(folder: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return the names of the folders and of the files in a folder, each sorted."""
    if is_address(folder):
        try:
            # An address does not say what is a file: the endings do.
            return list_address(folder, ENDINGS)
        except OSError as error:
            raise _unreadable(folder, error) from error
    try:
        entries = sorted(Path(folder).iterdir())
    except OSError as error:
        raise _unreadable(folder, error) from error
    folders = [entry.name for entry in entries if entry.is_dir()]
    return folders, [entry.name for entry in entries if entry.is_file()]


def check_links(folder: str) -> None:
    """Refuse a link that seems to stand for a folder, and leads to nothing.

    Raises:
        InputError: There is such a link, as where a disk is not mounted.
    """
    if is_address(folder):
        return
    for entry in sorted(Path(folder).iterdir()):
        if (
            entry.is_symlink()
            and not entry.exists()
            and not (entry.suffix or is_hidden(entry.name))
        ):
            raise InputError(
                "A link in a folder of pictures must lead to something. Received: "
                f"{str(entry)!r}, which leads to {os.readlink(entry)!r}, where nothing is. Mount "
                "or restore that, or remove the link."
            )


def _unreadable(folder: str, error: OSError) -> InputError:
    return InputError(
        f"Every folder of pictures must be readable. Received: {folder!r}: {error.strerror}. "
        "Correct its permissions or the address, or move it away."
    )


def list_files(folder: str) -> list[str]:
    """List every file below a folder, and follow links; the audit names the broken ones."""
    if is_address(folder):
        return sorted(_list_files_at_address(folder))

    def refuse(error: OSError) -> None:
        raise _unreadable(error.filename, error) from error

    files, seen = [], set()
    for path, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        # A link back to a folder that was read would lead to an endless walk, or count twice.
        if os.path.realpath(path) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(path))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        files += [os.path.join(path, name) for name in names if not is_hidden(name)]
    return sorted(file for file in files if os.path.isfile(file) or os.path.islink(file))


def _list_files_at_address(folder: str) -> list[str]:
    folders, names = list_here(folder)
    files = [join(folder, name) for name in names if not is_hidden(name)]
    for name in folders:
        files += [] if is_hidden(name) else _list_files_at_address(join(folder, name))
    return files
