"""Where pictures come from: one line a kind of source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tfxfer.config import DataConfig
from tfxfer.data.archive import list_archive
from tfxfer.data.dataset_source import PREFIX as DATASET
from tfxfer.data.dataset_source import list_dataset
from tfxfer.data.files import Listing, make_file_data
from tfxfer.data.folder import list_folder
from tfxfer.data.joined import join_validation
from tfxfer.data.manifest import list_manifest
from tfxfer.data.manifest_rows import MANIFEST_ENDINGS
from tfxfer.data.pictures import PictureData
from tfxfer.data.places import check_address, is_folder
from tfxfer.data.record_source import load_records
from tfxfer.data.tfds_source import load_embedded, load_tfds
from tfxfer.data.unpack import ARCHIVE_ENDINGS
from tfxfer.errors import InputError

# By how a source begins.
PREFIXES: dict[str, Callable[[DataConfig, int], PictureData]] = {
    "embedded:": load_embedded,
    "tfds:": load_tfds,
    "tfrecord:": load_records,
    "arrayrecord:": load_records,
}
# What lists files, by how it begins,
LISTED_PREFIXES: dict[str, Callable[[DataConfig], Listing]] = {DATASET: list_dataset}
# or by how it ends; a folder of class folders may end so as well.
ENDINGS: dict[str, Callable[[DataConfig], Listing]] = {
    **dict.fromkeys(MANIFEST_ENDINGS, list_manifest),
    **dict.fromkeys(ARCHIVE_ENDINGS, list_archive),
}


def load_data(
    config: DataConfig,
    seed: int,
    cache: Path | None = None,
    show: Callable[[int, int], None] = lambda done, total: None,
) -> PictureData:
    """Load the pictures that a config names, with all three splits.

    Args:
        config: ``source`` is a folder, a manifest, an archive, ``"tfds:NAME"`` or
            ``"embedded:birds"``.
        seed: decides which pictures missing splits are cut from.
        cache: where what was seen of files is kept; None: nowhere.
        show: is told how many files were looked at, of how many.

    Raises:
        InputError: no source is named, or it cannot be used.
    """
    source = str(config.source or "")
    for prefix, load in PREFIXES.items():
        if source.startswith(prefix):
            data = load(config, seed)
            break
    else:
        data = make_file_data(list_files(config), config, seed, cache, show)
    return join_validation(data) if config.train_on_validation else data


def list_files(config: DataConfig) -> Listing:
    """List the files of a source that has files.

    Raises:
        InputError: no source is named, it has none, or it cannot be used.
    """
    source = config.source
    if source is None:
        raise InputError(
            "This preset trains on pictures of your own: name them with --data FOLDER (class "
            "folders, or train/, val/ and test/ above them), a manifest, an archive or --data "
            "tfds:NAME. Received: none."
        )
    if source.startswith(tuple(PREFIXES)):
        raise InputError(
            f"Files are listed of a folder, a manifest or an archive. Received: {source!r}, whose "
            "pictures are no files of their own. Name one of those."
        )
    for prefix, list_source in LISTED_PREFIXES.items():
        if source.startswith(prefix):
            return list_source(config)
    for place in (source, *config.roots):
        check_address(place)
    by_ending = [list_ for ending, list_ in ENDINGS.items() if source.lower().endswith(ending)]
    return by_ending[0](config) if by_ending and not is_folder(source) else list_folder(config)
