"""The things below and before the bird: branches, posts, rocks, leaves, reeds."""

from __future__ import annotations

import numpy as np

from tfxfer.modalities.pictures.fieldguide.anatomy import smooth_curve
from tfxfer.modalities.pictures.fieldguide.canvas import Canvas, shade
from tfxfer.modalities.pictures.fieldguide.scene import jitter
from tfxfer.modalities.pictures.fieldguide.traits import Rgb

_BARKS: tuple[Rgb, ...] = ((94, 74, 56), (122, 108, 92), (70, 60, 52))
_LEAVES: tuple[Rgb, ...] = ((92, 124, 48), (140, 142, 70), (58, 92, 44), (170, 120, 50))
_STEM: Rgb = (150, 142, 84)
_STONE: Rgb = (128, 122, 114)
_TWIG: Rgb = (92, 74, 58)


def paint_support(canvas: Canvas, support: str, feet: np.ndarray, size_px: int,
                  generator: np.random.Generator) -> None:  # fmt: skip
    """Paint what the bird stands on; `canvas` and `feet` [2, 2] are in picture pixels."""
    middle, level = feet.mean(axis=0)
    thick = size_px * generator.uniform(0.025, 0.05)
    bark = jitter(_BARKS[int(generator.integers(len(_BARKS)))], generator)
    if support == "branch":
        slope = generator.uniform(-0.22, 0.22)
        x = np.array([-0.1, 0.25, 0.5, 0.75, 1.1]) * size_px
        y = level + thick * 0.95 + slope * (x - middle) + generator.normal(0, thick * 0.12, 5)
        _paint_limb(canvas, np.stack([x, y], axis=1), thick, bark, generator)
    elif support == "stem":
        lean = generator.uniform(-0.25, 0.25)
        y = np.array([-0.1, 0.3, 0.7, 1.1]) * size_px
        x = middle + lean * (y - level)
        _paint_limb(canvas, np.stack([x, y], axis=1), size_px * 0.014, _STEM, generator)
    elif support == "post":
        _paint_post(canvas, middle, level, size_px, bark=bark, generator=generator)
    elif support == "rock":
        _paint_rock(canvas, middle, level, size_px, generator)


def _paint_limb(canvas: Canvas, line: np.ndarray, thick: float, colour: Rgb,
                generator: np.random.Generator) -> None:  # fmt: skip
    curve = smooth_curve(line, closed=False)
    canvas.stroke(curve, colour, 2 * thick, 60)
    for offset in generator.uniform(-0.8, 0.8, 5):
        start = int(generator.integers(0, len(curve) - 8))
        part = curve[start : start + 8] + np.array([0.0, offset * thick])
        canvas.stroke(part, shade(colour, 0.72), thick * 0.16, 48)


def _paint_post(canvas: Canvas, middle: float, level: float, size_px: int, *, bark: Rgb,
                generator: np.random.Generator) -> None:  # fmt: skip
    half, foot = size_px * generator.uniform(0.06, 0.11), 1.2 * size_px
    corners = [[middle - half, level], [middle + half, level + 1],
               [middle + half * 1.05, foot], [middle - half, foot]]  # fmt: skip
    canvas.polygon(np.array(corners), bark, 70)
    for part in generator.uniform(-0.9, 0.9, 7):
        x = middle + part * half
        grain = np.array([[x, level + 2], [x, foot]])
        canvas.stroke(grain, shade(bark, 0.75), size_px * 0.006, 55)


def _paint_rock(canvas: Canvas, middle: float, level: float, size_px: int,
                generator: np.random.Generator) -> None:  # fmt: skip
    wide = size_px * generator.uniform(0.28, 0.5)
    angles = np.linspace(np.pi, 2 * np.pi, 8)
    y = level + size_px * (0.02 + 0.16 * (1 + np.sin(angles)) ** 1.3)
    ring = np.stack([middle + wide * np.cos(angles), y], axis=1)
    ring[1:-1] += generator.normal(0, size_px * 0.008, (6, 2))
    floor = np.array([[middle + wide, 1.3 * size_px], [middle - wide, 1.3 * size_px]])
    stone = jitter(_STONE, generator, 26)
    canvas.polygon(np.concatenate([smooth_curve(ring, closed=False), floor]), stone, 70)
    for across, down in generator.uniform(-1, 1, (26, 2)):
        spot = np.array([middle + across * wide * 0.9, level + size_px * (0.2 + 0.14 * down)])
        canvas.disc(spot, size_px * 0.008, shade(stone, 0.86), 64)


def paint_foreground(canvas: Canvas, size_px: int, generator: np.random.Generator) -> None:
    """Paint leaves, reeds or a twig that hide parts of the bird, on a separate canvas."""
    green = jitter(_LEAVES[int(generator.integers(len(_LEAVES)))], generator)
    paint = (_paint_leaf, _paint_blade, _paint_twig)[int(generator.integers(3))]
    for _ in range(int(generator.integers(2, 6))):
        paint(canvas, generator.uniform(0.0, 1.0, 2) * size_px, size_px, green, generator)


def _paint_leaf(canvas: Canvas, root: np.ndarray, size_px: int, green: Rgb,
                generator: np.random.Generator) -> None:  # fmt: skip
    angle, long = generator.uniform(0, 2 * np.pi), size_px * generator.uniform(0.12, 0.24)
    ahead = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-ahead[1], ahead[0]])
    tip = root + ahead * long
    sides = [root + ahead * long * 0.4 + across * long * d for d in (0.22, -0.22)]
    leaf = smooth_curve(np.stack([root, sides[0], tip, sides[1]]), closed=True)
    canvas.polygon(leaf, shade(green, generator.uniform(0.8, 1.15)), 100)
    canvas.stroke(np.stack([root, tip]), shade(green, 0.7), size_px * 0.006, 80)


def _paint_blade(canvas: Canvas, where: np.ndarray, size_px: int, green: Rgb,
                 generator: np.random.Generator) -> None:  # fmt: skip
    (x, y), foot = where, 1.05 * size_px
    lean = generator.normal(0, 0.16) * size_px
    wide = size_px * generator.uniform(0.008, 0.018)
    blade = np.array([[x - wide, foot], [x + lean, y * 0.7], [x + wide, foot]])
    canvas.polygon(blade, shade(green, generator.uniform(0.8, 1.2)), 90)


def _paint_twig(canvas: Canvas, where: np.ndarray, size_px: int, green: Rgb,
                generator: np.random.Generator) -> None:  # fmt: skip
    del green  # A twig has the colour of wood.
    x, y = where
    slope = generator.normal(0, 0.5)
    twig = np.array([[-5, y - slope * x], where, [size_px + 5, y + slope * (size_px - x)]])
    tone = shade(_TWIG, generator.uniform(0.7, 1.2))
    canvas.stroke(twig, tone, size_px * generator.uniform(0.008, 0.016), 90)
