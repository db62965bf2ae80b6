"""Contact sheets: pictures in rows that have headings. This module imports no TensorFlow."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

MOST_ROWS = 40  # A sheet shows at most so many rows.
_TILE_PX, _GAP_PX, _TEXT_PX, _COLUMNS = 150, 8, 14, 8
_INK, _FAINT, _BACK, _EMPTY = "#222222", "#777777", "#ffffff", "#ededed"


@dataclass(frozen=True)
class Tile:
    """A picture of a sheet.

    Attributes:
        picture: ``[height, width, 3]`` uint8; None draws a grey tile.
        caption: The text below the picture.
    """

    picture: np.ndarray | None
    caption: str


@dataclass(frozen=True)
class Row:
    """Pictures that belong together, below one heading."""

    heading: str
    tiles: tuple[Tile, ...]


def write_sheet(path: Path, title: str, rows: Sequence[Row], most_rows: int = MOST_ROWS) -> None:
    """Draw rows of pictures into one PNG file; long rows are wrapped.

    Args:
        path: The file.
        title: The heading of the sheet.
        rows: The rows, of which the first `most_rows` are drawn.
        most_rows: The largest number of rows; the sheet says at its end how many are missing.
    """
    drawn = rows[:most_rows]
    heading_px, tile_px = _TEXT_PX + _GAP_PX, _TILE_PX + _TEXT_PX + _GAP_PX
    heights = [heading_px + -(-len(row.tiles) // _COLUMNS) * tile_px for row in drawn]
    columns = max((min(len(row.tiles), _COLUMNS) for row in drawn), default=1)
    width = max(columns, 4) * (_TILE_PX + _GAP_PX) + _GAP_PX
    sheet = Image.new("RGB", (width, 3 * heading_px + sum(heights)), _BACK)
    draw = ImageDraw.Draw(sheet)
    bold, small = ImageFont.load_default(15), ImageFont.load_default(11)
    draw.text((_GAP_PX, _GAP_PX), _fit(draw, title, bold, width - 2 * _GAP_PX), _INK, bold)
    top = 2 * heading_px
    for row, height in zip(drawn, heights, strict=True):
        draw.line((_GAP_PX, top - 4, width - _GAP_PX, top - 4), fill=_EMPTY)
        draw.text((_GAP_PX, top), _fit(draw, row.heading, small, width - 2 * _GAP_PX), _INK, small)
        for number, tile in enumerate(row.tiles):
            left = _GAP_PX + number % _COLUMNS * (_TILE_PX + _GAP_PX)
            place = top + heading_px + number // _COLUMNS * tile_px
            _draw_tile(sheet, draw, small, tile=tile, left=left, top=place)
        top += height
    if len(rows) > len(drawn):
        draw.text((_GAP_PX, top), f"… and {len(rows) - len(drawn):,} more", _FAINT, small)
    sheet.save(path)


def _draw_tile(sheet, draw, font, *, tile: Tile, left: int, top: int) -> None:
    draw.rectangle((left, top, left + _TILE_PX - 1, top + _TILE_PX - 1), fill=_EMPTY)
    if tile.picture is None:
        draw.text((left + 8, top + _TILE_PX // 2 - 6), "no picture", _FAINT, font)
    else:
        picture = Image.fromarray(tile.picture)
        picture.thumbnail((_TILE_PX, _TILE_PX))
        across, down = (_TILE_PX - picture.width) // 2, (_TILE_PX - picture.height) // 2
        sheet.paste(picture, (left + across, top + down))
    draw.text((left, top + _TILE_PX + 1), _fit(draw, tile.caption, font, _TILE_PX), _FAINT, font)


def open_small(encoded: bytes) -> np.ndarray | None:
    """Decode a picture for a tile, upright and over white, with little memory.

    Returns:
        ``[height, width, 3]`` uint8; None if the picture cannot be opened.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(encoded)) as opened:
                opened.draft("RGB", (2 * _TILE_PX, 2 * _TILE_PX))
                opened.thumbnail((_TILE_PX, _TILE_PX))
                upright = ImageOps.exif_transpose(opened)
                if upright.mode.startswith("I;16"):  # Pillow would clip the values at 255.
                    upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
                upright = upright.convert("RGBA")
    except Exception:  # Pillow's plug-ins raise errors of any type for a broken file.
        return None
    white = Image.new("RGBA", upright.size, "white")
    return np.asarray(Image.alpha_composite(white, upright).convert("RGB"))


def _fit(draw, text: str, font, width: int) -> str:
    """Leave out the middle of a text that is too long, and characters that are no valid UTF-8."""
    text = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    if draw.textlength(text, font) <= width:
        return text
    half = len(text) // 2
    while half > 1 and draw.textlength(f"{text[:half]}…{text[-half:]}", font) > width:
        half -= 1
    return f"{text[:half]}…{text[-half:]}"
