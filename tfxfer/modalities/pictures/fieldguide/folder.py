"""The embedded birds as files in class folders, like a user's own pictures."""

from __future__ import annotations

from pathlib import Path

from tfxfer.errors import InputError
from tfxfer.modalities.pictures.fieldguide.builder import IMAGE_SIZE_PX, picture_seed
from tfxfer.modalities.pictures.fieldguide.parallel import render_all
from tfxfer.modalities.pictures.fieldguide.species import TARGET_SPECIES


def write_bird_folder(folder: str | Path, species: int = 12, pictures: int = 20) -> Path:
    """Draw some of the embedded birds into ``folder/<species>/<number>.jpg``.

    None of the pictures belongs to the data set ``embedded:birds``, so that a model trained on
    that one can be tried on these. A second call draws the same pictures and replaces the files.

    Args:
        folder: The folder, which is made if it is not there.
        species: The number of species, 1…12; the first ones are taken.
        pictures: The number of pictures of each species, 1 or more; they are RGB, 128 px square.

    Returns:
        The folder.

    Raises:
        InputError: There are not so many species, or `pictures` is less than 1.
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
