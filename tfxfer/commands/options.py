"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfxfer.cache.folder import check_writable, locate
from tfxfer.config.config import Config, DataSettings
from tfxfer.config.places import is_address
from tfxfer.errors import InputError
from tfxfer.machine import runtime


def check_file(option: str, name: str | None, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before the slow work begins."""
    if name is None:
        return
    file = Path(name)
    if option == "--embeddings" and file.suffix.lower() != ".npz":
        raise InputError(
            f"{option} must name a file that ends in .npz. Received: {name!r}. Say embeddings.npz."
        )
    if is_address(name) or not file.parent.is_dir():
        raise InputError(
            f"{option} must lie in a folder of this machine that exists. Received: {name!r}. Make "
            "the folder first, or name another."
        )
    check_new(option, name, overwrite)


def check_new(option: str, path: str | Path, overwrite: bool) -> None:
    """Refuse to replace what is there, except a file that may be replaced."""
    file = Path(path)
    if file.exists() and not (overwrite and file.is_file()):
        raise InputError(
            f"{option} must name a new file. Received: {str(path)!r}, which is there. Name "
            "another, or say --overwrite to replace a file."
        )


def check_cache(config: Config) -> None:
    """Refuse a cache that cannot be written to, unless nothing is stored."""
    if config.features.max_disk_gb != 0:
        check_writable(locate(config.features.cache_dir))


def as_source(
    data: Any, load: Callable[[], Config | DataSettings], folder: str | None = None
) -> str | Path | None:
    """Write a Python data set to a folder, or into the cache, so that a config can name it.

    Args:
        data: The user's ``data``; a text or a path is a source already and is returned unchanged.
        load: A function that loads the config without its data, for the cache's folder and the
            names of the classes.
        folder: The folder to write to; None takes the cache.

    Returns:
        The source, or None if `data` is None.
    """
    if data is None or isinstance(data, str | Path):
        return data
    config = load()
    runtime.import_tensorflow()
    from tfxfer.sources.python_dataset import write_dataset

    return write_dataset(data, folder or config.features.cache_dir, config.data.reading.class_names)
