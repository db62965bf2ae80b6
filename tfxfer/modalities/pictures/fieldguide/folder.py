"""The embedded birds as files in class folders, as a user's own pictures lie."""

from __future__ import annotations

from pathlib import Path

from tfxfer.errors import InputError
from tfxfer.modalities.pictures.fieldguide.builder import IMAGE_SIZE_PX, picture_seed
from tfxfer.modalities.pictures.fieldguide.parallel import render_all
from tfxfer.modalities.pictures.fieldguide.species import TARGET_SPECIES


def write_bird_folder(folder: str | Path, species: int = 12, pictures: int = 20) -> Path:
    """Draw some of the embedded birds into ``folder/<species>/<number>.jpg``.

    No picture is one of the data set ``embedded:birds``: a model that was trained on that may be
    tried on these. A second call draws the same pictures, and replaces the files.

    Args:
        folder: is made where it is not there.
        species: how many, 1…12; the first ones.
        pictures: of each, 1 or more; RGB, 128 px square.

    Returns:
        The folder.

    Raises:
        InputError: there are not as many species, or no pictures are wanted.
    """
    if not 1 <= species <= len(TARGET_SPECIES) or pictures < 1:
        raise InputError(
            f"species must be in 1…{len(TARGET_SPECIES)}, and pictures 1 or more. Received: "
            f"species={species}, pictures={pictures}. Leave them out for {len(TARGET_SPECIES)} "
            "species of 20 pictures."
        )
    places = [(index, number) for index in range(species) for number in range(pictures)]
    orders = [("target", index, picture_seed("target", "folder", index, n)) for index, n in places]
    for (index, number), picture in zip(places, render_all(orders, IMAGE_SIZE_PX), strict=True):
        file = Path(folder) / TARGET_SPECIES[index].name / f"{number:03d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture)
    return Path(folder)
