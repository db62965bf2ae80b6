"""The folders of the cache with the checkpoints of unfinished runs.

<cache>/checkpoints/<key>/    the files of `checkpoint.py`, and the curves, of one run
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import keras
import numpy as np

from tfxfer.cache.digest import digest
from tfxfer.cache.folder import list_others
from tfxfer.cache.in_use import claim
from tfxfer.config.config import Config
from tfxfer.config.former import identify
from tfxfer.data.items import ItemData
from tfxfer.errors import InputError
from tfxfer.training.resume.checkpoint import read_checkpoint

FOLDER = "checkpoints"
# Checkpoints that were not used for so long are removed.
_EXPIRES_SECONDS = 30 * 24 * 3600


def name_run(config: Config, items: ItemData, model: keras.Model) -> str:
    """Hash all that decides the course of a run: config, items and initial weights.

    The test items have no influence.

    Args:
        config: The config.
        items: The items.
        model: The model with its initial weights.
    """
    splits = (items.train, items.validation)
    return digest(
        identify(config),
        repr(items.classes),
        *(repr(split.identities()) for split in splits),
        *(split.labels.rows.tobytes() for split in splits),
        *(digest(np.asarray(weight).tobytes()) for weight in model.weights),
    )


@contextmanager
def reserve_place(
    folder: Path, key: str, is_fresh: bool, say: Callable[[str], None]
) -> Iterator[Path | None]:
    """Give the folder of a run's checkpoint, or None if there can be none.

    The folder is removed when the run is done or refused. It stays if the run is stopped, and a
    note on the error says how to go on.

    Args:
        folder: The cache.
        key: The same as in `name_run`.
        is_fresh: Whether the checkpoint of an earlier process is removed.
        say: A function that shows a note.
    """
    place = folder / FOLDER / key
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        say(f"{str(place)!r} cannot be made ({error.strerror}): a stopped run starts anew")
        yield None
        return
    _remove_expired(folder, place)
    with claim(place) as is_free:
        if not is_free:
            say("another process is at the same run: if this one is stopped, it starts anew")
            yield None
            return
        if is_fresh:
            _empty(place)
        try:
            yield place
        except InputError:
            shutil.rmtree(place, ignore_errors=True)
            raise
        except BaseException as error:
            if kept := read_checkpoint(place).describe():
                error.add_note(f"the same command goes on after {kept}")
            else:
                shutil.rmtree(place, ignore_errors=True)
            raise
        shutil.rmtree(place, ignore_errors=True)


def _empty(place: Path) -> None:
    """Remove the content of a folder, but not the folder itself, which `claim` has locked."""
    for path in place.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove_expired(folder: Path, own: Path) -> None:
    """Remove the old checkpoints of other runs, unless a process uses them."""
    for path in list_others(folder, FOLDER):
        with suppress(OSError):
            if path == own or time.time() - path.stat().st_mtime < _EXPIRES_SECONDS:
                continue
            with claim(path) as is_free:
                if is_free:
                    shutil.rmtree(path)
