"""The table of sources: one line for each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tfxfer.cache.folder import locate
from tfxfer.config.data import DataConfig
from tfxfer.config.places import ALLOWED_SOURCES
from tfxfer.data.listing import Listing
from tfxfer.errors import InputError
from tfxfer.machine.files import check_address, is_folder
from tfxfer.sources.archive import list_archive
from tfxfer.sources.folder import list_folder
from tfxfer.sources.manifest import list_manifest
from tfxfer.sources.manifest_rows import MANIFEST_ENDINGS
from tfxfer.sources.python_dataset import PREFIX as DATASET
from tfxfer.sources.python_dataset import list_dataset
from tfxfer.sources.tfds_source import list_embedded, list_tfds
from tfxfer.sources.tfrecords import list_tfrecord_files
from tfxfer.sources.tfrecords_files import ARRAYRECORD, TFRECORD
from tfxfer.sources.unpack.unpack import ARCHIVE_ENDINGS
from tfxfer.task import Tasks

_EMBEDDED = "embedded:"
# A function that lists a source, given the settings, the folder of the cache and the tasks.
ListSource = Callable[[DataConfig, Path, Tasks], Listing]
# These functions list a source whose name begins so.
PREFIXES: dict[str, ListSource] = {
    _EMBEDDED: list_embedded,
    "tfds:": list_tfds,
    TFRECORD: list_tfrecord_files,
    ARRAYRECORD: list_tfrecord_files,
    DATASET: list_dataset,
}
# These functions list a source whose name ends so, unless it is a folder.
ENDINGS: dict[str, ListSource] = {
    **dict.fromkeys(MANIFEST_ENDINGS, list_manifest),
    **dict.fromkeys(ARCHIVE_ENDINGS, list_archive),
}


def list_items(config: DataConfig, tasks: Tasks, cache: Path | None = None) -> Listing:
    """List the pictures of a source without looking at them.

    Args:
        config: The settings of the data.
        tasks: The rows of tasks, of which the labels of the source choose one.
        cache: The folder of the cache, in which archives are unpacked; None takes the default one.

    Raises:
        InputError: No source is named, or it cannot be used.
    """
    source = config.source
    if source is None:
        raise InputError(
            f"This preset trains on data of your own: --data names {ALLOWED_SOURCES}. Received: "
            "none. Name a folder whose folders are the classes, or that has train/, val/ and "
            "test/ above them."
        )
    folder = (cache or locate()).absolute()
    for prefix, list_source in PREFIXES.items():
        if source.startswith(prefix):
            return list_source(config, folder, tasks)
    for place in (source, *config.reading.roots):
        check_address(place)
    by_ending = [list_ for ending, list_ in ENDINGS.items() if source.lower().endswith(ending)]
    list_source = by_ending[0] if by_ending and not is_folder(source) else list_folder
    return list_source(config, folder, tasks)
