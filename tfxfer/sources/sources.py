"""Where pictures come from: one line a kind of source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tfxfer.config.data import DataConfig
from tfxfer.data.audit import audit_listing
from tfxfer.data.items import PictureData
from tfxfer.data.joined import join_validation
from tfxfer.data.listing import Listing
from tfxfer.data.make import make_data
from tfxfer.errors import InputError
from tfxfer.machine.files import check_address, is_folder
from tfxfer.machine.processes import ALONE, Share
from tfxfer.sources.archive import list_archive
from tfxfer.sources.folder import list_folder
from tfxfer.sources.manifest import list_manifest
from tfxfer.sources.manifest_rows import MANIFEST_ENDINGS
from tfxfer.sources.python_dataset import PREFIX as DATASET
from tfxfer.sources.python_dataset import list_dataset
from tfxfer.sources.records import list_record_files
from tfxfer.sources.records_files import ARRAYRECORD, TFRECORD
from tfxfer.sources.tfds_source import list_embedded, list_tfds
from tfxfer.sources.unpack.unpack import ARCHIVE_ENDINGS

_EMBEDDED = "embedded:"
# What lists a source, by how it begins,
PREFIXES: dict[str, Callable[[DataConfig], Listing]] = {
    _EMBEDDED: list_embedded,
    "tfds:": list_tfds,
    TFRECORD: list_record_files,
    ARRAYRECORD: list_record_files,
    DATASET: list_dataset,
}
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
    mirrored: bool = True,
    share: Share = ALONE,
) -> PictureData:
    """Load the pictures that a config names, with all three splits; look at each of them first.

    Args:
        config: ``source`` is a folder, a manifest, an archive, ``"tfds:NAME"``,
            ``"tfrecord:PATTERN"``, ``"arrayrecord:PATTERN"`` or ``"embedded:birds"``.
        seed: decides which pictures missing splits are cut from.
        cache, show, mirrored, share: as of `audit_listing`.

    Raises:
        InputError: no source is named, or it cannot be used.
    """
    listing = list_pictures(config)
    # The birds are drawn by this package, each another one: a look would find nothing, and take
    # seconds of a run that takes less than a minute.
    is_drawn = str(config.source).startswith(_EMBEDDED)
    audit = None if is_drawn else audit_listing(listing, mirrored, cache, show, share)
    data = make_data(listing, audit, config, seed)
    return join_validation(data) if config.train_on_validation else data


def list_pictures(config: DataConfig) -> Listing:
    """List the pictures of a source, without looking at them.

    Raises:
        InputError: no source is named, or it cannot be used.
    """
    source = config.source
    if source is None:
        raise InputError(
            "This preset trains on pictures of your own: name them with --data FOLDER (class "
            "folders, or train/, val/ and test/ above them), a manifest, an archive or --data "
            "tfds:NAME. Received: none."
        )
    for prefix, list_source in PREFIXES.items():
        if source.startswith(prefix):
            return list_source(config)
    for place in (source, *config.roots):
        check_address(place)
    by_ending = [list_ for ending, list_ in ENDINGS.items() if source.lower().endswith(ending)]
    return by_ending[0](config) if by_ending and not is_folder(source) else list_folder(config)
