"""Where pictures come from: one line a kind of source."""

from __future__ import annotations

from collections.abc import Callable

from tfxfer.config import DataConfig
from tfxfer.data.dataset_source import load_dataset
from tfxfer.data.folder import load_folder
from tfxfer.data.pictures import PictureData
from tfxfer.data.record_source import load_records
from tfxfer.data.tfds_source import load_embedded, load_tfds
from tfxfer.errors import InputError

SOURCES: dict[str, Callable[[DataConfig, int], PictureData]] = {
    "embedded:": load_embedded,
    "tfds:": load_tfds,
    "tfrecord:": load_records,
    "arrayrecord:": load_records,
    "dataset:": load_dataset,
    "": load_folder,
}


def load_data(config: DataConfig, seed: int) -> PictureData:
    """Load the pictures that a config names, with all three splits.

    Args:
        config: ``source`` is ``"embedded:birds"``, ``"tfds:NAME"`` or a folder.
        seed: decides which pictures missing splits are cut from.

    Raises:
        InputError: no source is named, or it cannot be used.
    """
    if config.source is None:
        raise InputError(
            "This preset trains on pictures of your own: name them with --data FOLDER (class "
            "folders, or train/, val/ and test/ above them) or --data tfds:NAME. Received: none."
        )
    prefix = next(prefix for prefix in SOURCES if config.source.startswith(prefix))
    return SOURCES[prefix](config, seed)
