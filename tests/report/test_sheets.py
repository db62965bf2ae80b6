"""Tests of contact sheets, which mark pictures that cannot be opened."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tfxfer.report.sheets import Row, Tile, open_small, write_sheet


def test_a_sheet_shows_pictures_and_leaves_a_grey_tile_for_what_is_none(tmp_path):
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((150, 150), 100 * 257, np.uint16)).save(deep)
    red = np.zeros((150, 150, 3), np.uint8)
    red[..., 0] = 200
    tiles = [red, open_small(deep.read_bytes()), open_small(b"\xff\xd8\xff nothing")]
    row = Row("many\nlines, " + "long " * 100, tuple(Tile(tile, "name" * 40) for tile in tiles))
    write_sheet(tmp_path / "sheet.png", "title", [row] * 3, most_rows=2)
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    shown = {tuple(map(int, c)): int(n) for c, n in zip(colours, counts, strict=True)}
    assert shown[(200, 0, 0)] == 2 * 150 * 150
    assert shown[(100, 100, 100)] >= 2 * 150 * 150 - 50, "sixteen bits are not cut off"
    assert shown[(237, 237, 237)] > 2 * 140 * 140
    assert pixels.shape[1] < 700, "long texts make no sheet wider"
