"""The scenes in which birds are seen, and the blurred background of each."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tfxfer.modalities.pictures.fieldguide.traits import Rgb


@dataclasses.dataclass(frozen=True)
class Scene:
    """A kind of background: a vertical gradient, things scattered over it, and possible supports.

    `horizon` is the height, 0 (top)…1 (bottom), at which the ground begins; 1 means no ground.
    """

    top: Rgb
    bottom: Rgb
    ground: Rgb
    horizon: float
    scatter: str  # clouds, bokeh, blades, stones, ripples or nothing
    scatter_colours: tuple[Rgb, ...]
    supports: tuple[str, ...]  # branch, post, rock, stem, ground or water


SCENES: dict[str, Scene] = {
    "sky": Scene((104, 156, 212), (206, 224, 238), (0, 0, 0), 1.0, "clouds",
                 ((240, 243, 246), (222, 230, 238)), ("branch", "post")),
    "foliage": Scene((44, 70, 38), (92, 122, 58), (0, 0, 0), 1.0, "bokeh",
                     ((70, 108, 48), (130, 160, 78), (34, 56, 34), (188, 204, 130)),
                     ("branch", "branch", "post")),
    "autumn": Scene((120, 84, 46), (158, 122, 70), (0, 0, 0), 1.0, "bokeh",
                    ((196, 128, 50), (150, 76, 38), (214, 178, 96), (92, 74, 52)), ("branch",)),
    "meadow": Scene((186, 208, 214), (178, 198, 150), (106, 136, 62), 0.42, "blades",
                    ((92, 124, 52), (136, 160, 78), (168, 176, 96)), ("ground", "post", "stem")),
    "reeds": Scene((196, 192, 160), (150, 146, 102), (104, 108, 78), 0.74, "blades",
                   ((164, 150, 92), (120, 122, 66), (196, 180, 122)), ("stem", "ground", "water")),
    "snow": Scene((176, 192, 208), (222, 228, 236), (236, 240, 246), 0.55, "bokeh",
                  ((246, 248, 250), (200, 212, 224), (168, 180, 192)), ("branch", "ground")),
    "rocks": Scene((150, 156, 160), (128, 122, 114), (110, 104, 96), 0.48, "stones",
                   ((134, 128, 120), (92, 88, 84), (166, 158, 146)), ("rock",)),
    "sand": Scene((186, 206, 220), (214, 204, 178), (210, 188, 146), 0.40, "stones",
                  ((196, 174, 134), (222, 204, 166), (170, 150, 118)),
                  ("ground", "ground", "rock")),
    "water": Scene((142, 172, 190), (112, 146, 164), (84, 122, 142), 0.30, "ripples",
                   ((132, 166, 182), (66, 100, 122), (176, 200, 210)), ("water", "water", "rock")),
    "dusk": Scene((86, 78, 122), (236, 164, 106), (0, 0, 0), 1.0, "clouds",
                  ((150, 110, 128), (244, 190, 138)), ("branch", "post")),
}  # fmt: skip

# Birds of a habitat live in these scenes; only birds that swim or wade are shown on water.
HABITAT_SCENES: dict[str, tuple[str, ...]] = {
    "perch": ("sky", "foliage", "foliage", "autumn", "meadow", "reeds", "snow", "rocks", "dusk"),
    "ground": ("meadow", "snow", "rocks", "sand", "autumn", "foliage"),
    "shore": ("reeds", "water", "water", "sand", "rocks", "meadow", "snow"),
}
HABITAT_SUPPORTS: dict[str, tuple[str, ...]] = {
    "perch": ("branch", "post", "rock", "stem", "ground"),
    "ground": ("ground", "rock", "branch"),
    "shore": ("ground", "rock", "water"),
}


def choose_scene(habitat: str, generator: np.random.Generator) -> tuple[Scene, str]:
    """Return a scene, and the support in it that suits birds of this habitat."""
    names = HABITAT_SCENES[habitat]
    scene = SCENES[names[int(generator.integers(len(names)))]]
    usable = [name for name in scene.supports if name in HABITAT_SUPPORTS[habitat]]
    if not usable:
        return scene, "ground" if scene.horizon < 1.0 else "rock"
    return scene, usable[int(generator.integers(len(usable)))]


def jitter(colour: Rgb, generator: np.random.Generator, amount: int = 16) -> Rgb:
    shift = generator.integers(-amount, amount + 1) + generator.integers(-6, 7, 3)
    red, green, blue = np.clip(np.array(colour) + shift, 0, 255).tolist()
    return (red, green, blue)


def paint_background(scene: Scene, size_px: int, ground_y_px: float, generator: np.random.Generator
                     ) -> Image.Image:  # fmt: skip
    """Return the blurred background of the bird, RGB, `size_px` square."""
    top, bottom = (np.array(jitter(colour, generator)) for colour in (scene.top, scene.bottom))
    rows = np.linspace(0.0, 1.0, size_px)[:, None]
    gradient = top * (1 - rows) + bottom * rows
    horizon_px = size_px * float(scene.horizon + generator.uniform(-0.12, 0.12))
    # The ground has to begin above the feet, or the bird would float in front of the horizon.
    horizon_px = min(horizon_px, ground_y_px - 0.06 * size_px)
    if scene.horizon < 1.0:
        ground = np.array(jitter(scene.ground, generator))
        depth = np.clip((rows * size_px - horizon_px) / size_px, 0.0, 1.0)
        gradient = np.where(rows * size_px > horizon_px, ground * (0.88 + 0.3 * depth), gradient)
    column = Image.fromarray(np.clip(gradient, 0, 255).astype(np.uint8)[:, None, :])
    picture = column.resize((size_px, size_px))
    draw = ImageDraw.Draw(picture)
    _scatter(draw, scene, size_px, horizon_px, generator=generator)
    picture = picture.filter(ImageFilter.GaussianBlur(size_px * generator.uniform(0.006, 0.03)))
    if scene.scatter in ("blades", "stones", "ripples"):
        _scatter(
            ImageDraw.Draw(picture), scene, size_px, horizon_px, generator=generator, share=0.3
        )
        picture = picture.filter(ImageFilter.GaussianBlur(size_px * 0.005))
    return picture


def _scatter(draw: ImageDraw.ImageDraw, scene: Scene, size: int, horizon: float,
             *, generator: np.random.Generator, share: float = 1.0) -> None:  # fmt: skip
    colours = [jitter(colour, generator, 12) for colour in scene.scatter_colours]
    count = int(share * generator.integers(18, 46))
    x, y = generator.uniform(-0.05, 1.05, (2, count)) * size
    big = generator.uniform(0.5, 1.5, count) * size
    lean = generator.normal(0.0, 0.12, count)
    for index in range(count):
        colour = colours[index % len(colours)]
        u, v, s = float(x[index]), float(y[index]), float(big[index])
        if scene.scatter == "clouds":
            draw.ellipse((u - 0.14 * s, v - 0.02 * s, u + 0.14 * s, v + 0.02 * s), fill=colour)
        elif scene.scatter == "bokeh":
            r = 0.055 * s
            draw.ellipse((u - r, v - r, u + r, v + r * 0.8), fill=colour)
        elif scene.scatter == "blades":
            base = horizon + 0.12 * s + abs(v - 0.5 * size) * 0.6
            tip = (u + lean[index] * s, base - 0.34 * s)
            draw.line(((u, base), tip), fill=colour, width=max(1, int(0.012 * s)))
        else:
            # Things on the ground look smaller and flatter towards the horizon.
            v = horizon + abs(v / size) ** 1.6 * (size - horizon)
            r = s * (0.012 + 0.045 * (v - horizon) / size)
            flat = 0.5 if scene.scatter == "stones" else 0.12
            wide = 1.0 if scene.scatter == "stones" else 2.4
            draw.ellipse((u - r * wide, v - r * flat, u + r * wide, v + r * flat), fill=colour)
