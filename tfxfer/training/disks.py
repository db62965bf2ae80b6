"""The folders that a run writes to, for the error that names the one whose disk is full."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tfxfer.cache.folder import locate
from tfxfer.config.config import Config
from tfxfer.machine.disks import Place


def list_places(config: Config, folder: Path) -> list[Place]:
    """Return the folders that a run writes to.

    Args:
        folder: The run folder.
    """
    places = [
        Place("The run folder", folder.parent, "name another run folder with --out"),
        Place(
            "The cache",
            locate(config.features.cache_dir),
            "say tfxfer cache --clear, or name another cache with --set features.cache_dir=DIR or "
            "TFXFER_CACHE",
        ),
        Place(
            "What is temporary",
            Path(tempfile.gettempdir()),
            "name another folder in the environment variable TMPDIR",
        ),
    ]
    if str(config.data.source).startswith(("embedded:", "tfds:")):
        named = config.data.reading.data_dir or os.environ.get("TFDS_DATA_DIR")
        place = Path(named) if named else Path.home() / "tensorflow_datasets"
        instead = "name another folder with --set data.reading.data_dir=DIR or TFDS_DATA_DIR"
        places.append(Place("The data set", place, instead))
    return places
