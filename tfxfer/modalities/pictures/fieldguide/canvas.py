"""The supersampled layers a bird is painted on: colour, cover (alpha) and relief."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
from PIL import Image, ImageDraw

from tfxfer.modalities.pictures.fieldguide.traits import Rgb

OVERSAMPLING = 3


@dataclasses.dataclass(frozen=True)
class Placement:
    """The place of the bird frame in the final picture, in its pixels; `mirror` is −1 or 1."""

    scale_px: float
    offset_px: tuple[float, float]
    mirror: int

    def to_px(self, points: np.ndarray) -> np.ndarray:
        """Return bird-frame points [n, 2] as picture coordinates [n, 2]."""
        flip = np.array([self.mirror * self.scale_px, self.scale_px])
        return points * flip + np.array(self.offset_px)


PICTURE_FRAME = Placement(1.0, (0.0, 0.0), 1)


def shade(colour: Rgb, factor: float) -> Rgb:
    """Return a darker (factor < 1) or lighter (factor > 1, towards white) version of a colour."""
    if factor <= 1.0:
        return (int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor))
    part = min(factor - 1.0, 1.0)
    red, green, blue = (int(value + (255 - value) * part) for value in colour)
    return (red, green, blue)


class Canvas:
    """Layers of colour (RGB, black where empty), cover (L) and relief (L).

    Their sides are `OVERSAMPLING` times as long as the picture's.

    Relief is a height map: the light of the scene turns it into roundness and feather texture.
    """

    def __init__(self, size_px: int, placement: Placement) -> None:
        side = size_px * OVERSAMPLING
        self.placement = placement
        self.colour = Image.new("RGB", (side, side))
        self.cover = Image.new("L", (side, side))
        self.relief = Image.new("L", (side, side))
        self._colour_draw = ImageDraw.Draw(self.colour)
        self._cover_draw = ImageDraw.Draw(self.cover)
        self.relief_draw = ImageDraw.Draw(self.relief)

    def placed(self, placement: Placement) -> Canvas:
        """Return a canvas on the same layers that draws in another frame."""
        other = copy.copy(self)
        other.placement = placement
        return other

    def pixels(self, points: np.ndarray) -> list[tuple[float, float]]:
        """Return bird-frame points as a Pillow coordinate list on the supersampled layers."""
        return [tuple(xy) for xy in (self.placement.to_px(points) * OVERSAMPLING).tolist()]

    def length(self, value: float) -> float:
        """Return a bird-frame length in supersampled pixels."""
        return value * self.placement.scale_px * OVERSAMPLING

    def polygon(self, points: np.ndarray, colour: Rgb, height: int) -> None:
        xy = self.pixels(points)
        self._colour_draw.polygon(xy, fill=colour)
        self._cover_draw.polygon(xy, fill=255)
        self.relief_draw.polygon(xy, fill=height)

    def stroke(self, points: np.ndarray, colour: Rgb, width: float, height: int) -> None:
        """Draw a line of `width` (bird frame), which is at least one supersampled pixel wide."""
        xy, width_px = self.pixels(points), max(1, round(self.length(width)))
        self._colour_draw.line(xy, fill=colour, width=width_px, joint="curve")
        self._cover_draw.line(xy, fill=255, width=width_px, joint="curve")
        self.relief_draw.line(xy, fill=height, width=width_px)

    def disc(self, centre: np.ndarray, radius: float, colour: Rgb, height: int,
             stretch: float = 1.0) -> None:  # fmt: skip
        """Draw a disc whose width is multiplied by `stretch`."""
        ((x, y),), r = self.pixels(centre[None]), self.length(radius)
        box = (x - r * stretch, y - r, x + r * stretch, y + r)
        self._colour_draw.ellipse(box, fill=colour)
        self._cover_draw.ellipse(box, fill=255)
        self.relief_draw.ellipse(box, fill=height)

    def paste(self, soft: Image.Image, mask: Image.Image, height: int) -> None:
        """Lay a whole painted picture over the canvas where `mask` (L) is set."""
        self.colour.paste(soft, mask=mask)
        self.cover.paste(255, mask=mask)
        self.relief.paste(height, mask=mask)
