"""Files in the file system, or at an address that TensorFlow reads, such as gs://…

Failures at an address raise `OSError`, as they do for a path.
"""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import tensorflow as tf

from tfxfer.config.places import is_address
from tfxfer.errors import InputError

# So many requests are under way at a time: each one mostly waits for the network.
_REQUESTS = 32
_NUMBERS = {
    tf.errors.NotFoundError: errno.ENOENT,
    tf.errors.PermissionDeniedError: errno.EACCES,
    tf.errors.UnauthenticatedError: errno.EACCES,
}
Result = TypeVar("Result")


def check_address(source: str) -> None:
    """Refuse an address that TensorFlow has no file system for; paths are left alone.

    Raises:
        InputError: The address has an unknown scheme.
    """
    if not is_address(source):
        return
    scheme = source.split("://", 1)[0]
    known = sorted(filter(None, tf.io.gfile.get_registered_schemes()))
    if scheme not in known:
        raise InputError(
            "An address must be of a file system that TensorFlow reads: "
            f"{', '.join(f'{name}://' for name in known)}. Received: {source!r}. Copy the files "
            "to a folder, or import a package that adds this file system to TensorFlow (such as "
            "tensorflow-io for s3://) before tfxfer.train is called."
        )


@contextmanager
def _as_os_error(path: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(_NUMBERS.get(type(error), errno.EIO), error.message, path) from error


def read_bytes(path: str) -> bytes:
    """Read the whole content of a file.

    Raises:
        OSError: The file is not there or cannot be read.
    """
    if not is_address(path):
        return Path(path).read_bytes()
    with _as_os_error(path), tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


def stamp(path: str) -> str:
    """Return the size and time of a file as a text, which changes when the file is edited.

    Raises:
        OSError: The file is not there.
    """
    if not is_address(path):
        status = os.stat(path)
        return f"{status.st_size}|{status.st_mtime_ns}"
    with _as_os_error(path):
        status = tf.io.gfile.stat(path)
    return f"{status.length}|{status.mtime_nsec}"


def for_each(function: Callable[[str], Result], paths: Sequence[str]) -> list[Result]:
    """Call a function for each path, in order; addresses are asked for many at a time."""
    if not any(map(is_address, paths)):
        return [function(path) for path in paths]
    with ThreadPoolExecutor(_REQUESTS) as pool:
        return list(pool.map(function, paths))


def join(folder: str, path: str) -> str:
    """Join a folder and a path; at an address, resolve ``.`` and ``..``: object stores do not."""
    if not is_address(folder):
        return os.path.join(folder, path)
    scheme, place = folder.split("://", 1)
    return f"{scheme}://{posixpath.normpath(posixpath.join(place, path))}"


def exists(path: str) -> bool:
    """Return whether something lies at a path or address; a broken link counts."""
    if not is_address(path):
        return os.path.lexists(path)
    with _as_os_error(path):
        return tf.io.gfile.exists(path)


def is_folder(path: str) -> bool:
    """Return whether a path is a folder; for an address, whether anything lies below it."""
    return tf.io.gfile.isdir(path) if is_address(path) else os.path.isdir(path)


def list_address(
    address: str, endings: Collection[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the folders and of the files at an address, each sorted.

    Args:
        address: The folder to list.
        endings: Lower-case endings that only files have, such as ``".jpg"``; each such name saves
            a request.

    Raises:
        OSError: The address is no folder or cannot be listed.
    """
    with _as_os_error(address):
        names = [name for name in tf.io.gfile.listdir(address) if name.strip("/")]
    # Object stores mark folders in their lists; other file systems are asked for each name.
    unclear = [
        name
        for name in names
        if not name.endswith("/") and os.path.splitext(name)[1].lower() not in endings
    ]
    asked = for_each(is_folder, [join(address, name) for name in unclear])
    folders = {name for name, is_one in zip(unclear, asked, strict=True) if is_one}
    folders |= {name for name in names if name.endswith("/")}
    return (
        tuple(sorted({name.strip("/") for name in folders})),
        tuple(sorted(set(names) - folders)),
    )
