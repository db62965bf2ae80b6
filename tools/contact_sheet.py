"""Draw the embedded birds on one sheet, with a row for each species, and write it as a picture.

python tools/contact_sheet.py --out tools/pictures/birds.jpg
"""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfxfer.modalities.pictures.fieldguide.render import render_picture
from tfxfer.modalities.pictures.fieldguide.species import SOURCE_SPECIES, TARGET_SPECIES

SIDE_PX = 112
NAME_PX = 190


def draw_sheet(species_list, columns: int) -> Image.Image:
    """Draw `columns` pictures of each species beside its name."""
    sheet = Image.new("RGB", (NAME_PX + columns * SIDE_PX, len(species_list) * SIDE_PX), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for row, species in enumerate(species_list):
        name = species.name.replace("_", " ")
        draw.text((10, row * SIDE_PX + SIDE_PX // 2 - 9), name, "#333333", font)
        for column in range(columns):
            picture = render_picture(species, np.random.default_rng([row, column]), SIDE_PX)
            sheet.paste(picture, (NAME_PX + column * SIDE_PX, row * SIDE_PX))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the embedded birds on one sheet.")
    parser.add_argument("--group", choices=("target", "source"), default="target")
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    species = TARGET_SPECIES if arguments.group == "target" else SOURCE_SPECIES
    draw_sheet(species, arguments.columns).save(arguments.out, quality=85)


if __name__ == "__main__":
    main()
