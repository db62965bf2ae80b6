"""Where pictures come from: one line a kind of source."""

from __future__ import annotations

import os
from collections.abc import Callable

from tfxfer.config import DataConfig
from tfxfer.data.archive import load_archive
from tfxfer.data.folder import load_folder
from tfxfer.data.manifest import load_manifest
from tfxfer.data.manifest_rows import MANIFEST_ENDINGS
from tfxfer.data.pictures import PictureData
from tfxfer.data.tfds_source import load_embedded, load_tfds
from tfxfer.data.unpack import ARCHIVE_ENDINGS
from tfxfer.errors import InputError

Load = Callable[[DataConfig, int], PictureData]

# By how a source begins.
PREFIXES: dict[str, Load] = {
    "embedded:": load_embedded,
    "tfds:": load_tfds,
}
# By how a file ends; a folder of class folders may end so as well.
ENDINGS: dict[str, Load] = {
    **dict.fromkeys(MANIFEST_ENDINGS, load_manifest),
    **dict.fromkeys(ARCHIVE_ENDINGS, load_archive),
}


def load_data(config: DataConfig, seed: int) -> PictureData:
    """Load the pictures that a config names, with all three splits.

    Args:
        config: ``source`` is a folder, a manifest, an archive, ``"tfds:NAME"`` or
            ``"embedded:birds"``.
        seed: decides which pictures missing splits are cut from.

    Raises:
        InputError: no source is named, or it cannot be used.
    """
    if config.source is None:
        raise InputError(
            "This preset trains on pictures of your own: name them with --data FOLDER (class "
            "folders, or train/, val/ and test/ above them), a manifest, an archive or --data "
            "tfds:NAME. Received: none."
        )
    return _find_loader(config.source)(config, seed)


def _find_loader(source: str) -> Load:
    by_prefix = [load for prefix, load in PREFIXES.items() if source.startswith(prefix)]
    if by_prefix:
        return by_prefix[0]
    by_ending = [load for ending, load in ENDINGS.items() if source.lower().endswith(ending)]
    return by_ending[0] if by_ending and not os.path.isdir(source) else load_folder
