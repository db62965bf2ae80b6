"""The plumage of body and wing: soft areas of colour with patterns on top."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from tfxfer.modalities.pictures.fieldguide.anatomy import (
    Body,
    smooth_curve,
    wing_outline,
    wing_point,
)
from tfxfer.modalities.pictures.fieldguide.canvas import OVERSAMPLING, Canvas, shade
from tfxfer.modalities.pictures.fieldguide.silhouettes import HEAD_MARKS
from tfxfer.modalities.pictures.fieldguide.traits import COLOURS, Rgb, Species

BODY_HEIGHT, WING_HEIGHT = 120, 150
# The areas are painted coarsely and then enlarged, which gives the soft borders of real plumage.
_SOFT_OVERSAMPLING = 1.25


def body_mask(canvas: Canvas, body: Body) -> Image.Image:
    """Return the silhouette of body, neck and head (L): the union of the discs along the spine."""
    mask = Image.new("L", canvas.cover.size)
    draw = ImageDraw.Draw(mask)
    for (x, y), radius in zip(canvas.pixels(body.spine[:, :2]), body.spine[:, 2], strict=True):
        r = canvas.length(radius)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    return mask


def _areas(species: Species, body: Body) -> list[tuple[str, np.ndarray]]:
    """Return the names of colours and the outlines that they fill, in the order of painting."""
    last = body.last
    areas = [
        (species.breast, body.band(2.45, last, (-1.6,), (0.1, 0.7, 1.5))),
        (species.back, body.band(0.0, last - 0.6, (0.25, 0.42, 0.42, 0.3), (1.7,))),
        (species.crown, body.band(last - 1.0, last, (0.75, 0.3), (1.7,))),
        (species.crown, body.head.smooth(HEAD_MARKS["crown"])),
    ]
    if species.face == "hood":
        areas.append((species.crown, body.band(last - 1.0, last, (-1.7,), (1.7,))))
        ring = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        areas.append((species.crown, body.head.at(1.3 * np.stack([np.cos(ring), np.sin(ring)], 1))))
    elif species.face == "collar":
        areas.append((species.face_colour, body.band(last - 1.35, last - 0.85, (-1.7,), (1.7,))))
    elif species.face in HEAD_MARKS:
        areas.append((species.face_colour, body.head.smooth(HEAD_MARKS[species.face])))
    return areas


def paint_body(canvas: Canvas, species: Species, body: Body, generator: np.random.Generator
               ) -> None:  # fmt: skip
    """Paint body, neck and head with their soft plumage, breast pattern and feather texture."""
    side = int(canvas.cover.size[0] / OVERSAMPLING * _SOFT_OVERSAMPLING)
    soft = Image.new("RGB", (side, side), COLOURS[species.belly])
    draw = ImageDraw.Draw(soft)
    for colour, outline in _areas(species, body):
        points = canvas.placement.to_px(outline) * _SOFT_OVERSAMPLING
        draw.polygon([tuple(xy) for xy in points.tolist()], fill=COLOURS[colour])
    soft = soft.resize(canvas.colour.size, Image.Resampling.BILINEAR)
    pattern = ImageDraw.Draw(soft)
    _paint_breast_pattern(canvas, pattern, species, body)
    mask = body_mask(canvas, body)
    canvas.paste(soft, mask, BODY_HEIGHT)
    _ruffle(canvas, body, generator)


def _paint_breast_pattern(canvas: Canvas, draw: ImageDraw.ImageDraw, species: Species, body: Body
                          ) -> None:  # fmt: skip
    colour = COLOURS[species.pattern_colour]
    if species.breast_pattern == "band":
        draw.polygon(canvas.pixels(body.band(3.25, 3.6, (-1.6,), (0.25, 0.45))), fill=colour)
    elif species.breast_pattern == "bars":
        for s in np.arange(1.3, 3.9, 0.25):
            t = np.linspace(-1.1, 0.0, 6)
            points = body.at(s - 0.10 * np.cos(3 * t), t)
            draw.line(canvas.pixels(points), fill=colour, width=round(canvas.length(0.022)))
    elif species.breast_pattern in ("spots", "streaks"):
        rows = [(s + 0.11 * (row % 2), t) for row, t in enumerate((-0.92, -0.66, -0.4, -0.12))
                for s in np.arange(1.9, 4.0, 0.22)]  # fmt: skip
        s, t = np.array(rows).T
        if species.breast_pattern == "spots":
            radius = canvas.length(0.019)
            for x, y in canvas.pixels(body.at(s, t)):
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        else:
            starts, stops = canvas.pixels(body.at(s, t)), canvas.pixels(body.at(s - 0.2, t + 0.05))
            for start, stop in zip(starts, stops, strict=True):
                draw.line((start, stop), fill=colour, width=round(canvas.length(0.02)))


def _ruffle(canvas: Canvas, body: Body, generator: np.random.Generator) -> None:
    """Feather tufts: short strokes in the relief only, so that they suit every colour."""
    count = 90
    s = generator.uniform(0.3, body.last + 0.0, count)
    t = generator.uniform(-0.95, 0.95, count)
    starts, stops = canvas.pixels(body.at(s, t)), canvas.pixels(body.at(s - 0.16, t * 1.02))
    heights = (BODY_HEIGHT + generator.choice((-16, 13), count)).tolist()
    width = max(1, round(canvas.length(0.014)))
    for start, stop, height in zip(starts, stops, heights, strict=True):
        canvas.relief_draw.line((start, stop), fill=height, width=width)


def _wing_band(start: float, stop: float, low: float = -0.96, high: float = 0.9) -> np.ndarray:
    """Return a bar across the wing that slants like the tips of a row of coverts."""
    parts = np.linspace(low, high, 7)
    slant = 0.05 * (1 - parts**2)
    there = [wing_point(start + d, p) for p, d in zip(parts, slant, strict=True)]
    back = [wing_point(stop + d, p) for p, d in zip(parts[::-1], slant[::-1], strict=True)]
    return np.array(there + back)


def paint_wing(canvas: Canvas, species: Species, body: Body) -> None:
    """Paint the near wing: coverts, flight feathers, their edges, and the wing pattern."""
    base, mark = COLOURS[species.wing], COLOURS[species.pattern_colour]
    edge = shade(base, 0.55)
    outline = smooth_curve(body.wing.at(wing_outline()), closed=True)
    canvas.polygon(outline, base, WING_HEIGHT)
    flight = shade(base, 0.74)
    canvas.polygon(body.wing.at(_wing_band(0.46, 0.62)), shade(base, 0.86), WING_HEIGHT - 8)
    canvas.polygon(body.wing.at(_flight_area(0.55)), flight, WING_HEIGHT - 12)
    if species.wing_pattern == "panel":
        canvas.polygon(body.wing.at(_wing_band(0.48, 0.76, -0.93, -0.15)), mark, WING_HEIGHT - 10)
    elif species.wing_pattern == "tips":
        canvas.polygon(body.wing.at(_flight_area(0.76)), mark, WING_HEIGHT - 12)
    for start, stop in {"one_bar": [(0.36, 0.44)], "two_bars": [(0.22, 0.29), (0.42, 0.49)]}.get(
        species.wing_pattern, []
    ):
        canvas.polygon(body.wing.at(_wing_band(start, stop)), mark, WING_HEIGHT + 6)
    _paint_feather_edges(canvas, body, edge, base)
    if species.wing_pattern == "spots":
        for along in np.arange(0.14, 0.8, 0.105):
            for part in (-0.72, -0.3, 0.15, 0.55):
                centre = body.wing.at((wing_point(along + 0.04 * part, part),))[0]
                canvas.disc(centre, 0.016, mark, WING_HEIGHT)
    canvas.stroke(np.concatenate([outline, outline[:1]]), edge, 0.007, WING_HEIGHT - 40)


def _flight_area(start: float) -> np.ndarray:
    lower = [wing_point(u, -0.97) for u in np.linspace(start, 1.0, 5)]
    upper = [wing_point(u, 0.95) for u in np.linspace(1.0, start + 0.06, 5)]
    return np.array(lower + upper)


def _paint_feather_edges(canvas: Canvas, body: Body, edge: Rgb, base: Rgb) -> None:
    """Paint lines along the flight feathers, and scalloped rows of coverts."""
    for part in np.linspace(-0.8, 0.8, 7):
        feather = [wing_point(0.44, part), wing_point(0.7, part * 0.95), (0.97, 0.02 * part)]
        canvas.stroke(body.wing.at(np.array(feather)), edge, 0.006, WING_HEIGHT - 30)
    light = shade(base, 1.16)
    for row, along in enumerate((0.14, 0.24, 0.34)):
        for part in np.linspace(-0.85, 0.75, 6 + row):
            arc = [wing_point(along - 0.02, part - 0.11), wing_point(along + 0.055, part),
                   wing_point(along - 0.02, part + 0.11)]  # fmt: skip
            points = smooth_curve(body.wing.at(np.array(arc)), closed=False, steps=3)
            canvas.stroke(points, edge if row == 2 else light, 0.006, WING_HEIGHT - 22)
