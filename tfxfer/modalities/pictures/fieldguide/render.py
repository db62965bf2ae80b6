"""The rendering of one picture of a species, with random pose, place, light and foreground."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tfxfer.modalities.pictures.fieldguide.anatomy import Pose
from tfxfer.modalities.pictures.fieldguide.bird import extent, foot_points, paint_bird, pose_body
from tfxfer.modalities.pictures.fieldguide.canvas import PICTURE_FRAME, Canvas, Placement
from tfxfer.modalities.pictures.fieldguide.light import develop, draw_light, light_canvas
from tfxfer.modalities.pictures.fieldguide.props import paint_foreground, paint_support
from tfxfer.modalities.pictures.fieldguide.scene import choose_scene, paint_background
from tfxfer.modalities.pictures.fieldguide.silhouettes import SILHOUETTES
from tfxfer.modalities.pictures.fieldguide.traits import Species

_OCCLUDED_SHARE = 0.4
_JPEG_QUALITY = (55, 95)


def draw_pose(generator: np.random.Generator, calm: bool) -> Pose:
    """Return a random pose: alert, leaning, feeding, turning the head, or lifting a wing.

    A `calm` bird makes no large movements. This is for swimmers, and for builds that such
    movements would deform.
    """
    feeds = not calm and generator.random() < 0.15
    tilt = generator.normal(0.0, 4.0 if calm else 8.0) - (24.0 if feeds else 0.0)
    turns = generator.random()
    yaw = 1.0 if turns < 0.5 else float(generator.uniform(0.6, 1.0))
    if turns > 0.9:
        yaw = -float(generator.uniform(0.7, 1.0))
    lifts = not calm and generator.random() < 0.15
    return Pose(
        body_tilt_deg=float(tilt),
        head_pitch_deg=float(generator.normal(0.0, 8.0) - (22.0 if feeds else 0.0)),
        head_yaw=yaw,
        wing_lift_deg=float(generator.uniform(18, 50) if lifts else generator.normal(0.0, 5.0)),
        tail_lift_deg=float(generator.normal(0.0, 9.0)),
        stride=float(abs(generator.normal(0.02, 0.03))),
    )


def render_picture(
    species: Species, generator: np.random.Generator, size_px: int = 128
) -> Image.Image:
    """Render one picture: RGB, `size_px` square, decided by the state of the generator."""
    habitat = SILHOUETTES[species.silhouette].habitat
    scene, support = choose_scene(habitat, generator)
    swims = support == "water" and species.silhouette in ("duck", "gull")
    pose = draw_pose(generator, calm=swims or species.silhouette in ("duck", "owl"))
    body = pose_body(species, pose)
    feet = foot_points(species, body, pose)
    placement = _place(*extent(species, body, feet), size_px, generator)
    feet_px = placement.to_px(feet)
    waterline_px = float(placement.to_px(body.hip[None] - np.array([0.0, 0.02]))[0, 1])
    if not swims:
        waterline_px = float(feet_px[0, 1]) - 0.02 * size_px

    light = draw_light(generator)
    ground_y = waterline_px if support == "water" else float(feet_px[0, 1])
    background = paint_background(scene, size_px, ground_y, generator)
    if support == "ground":
        background = _cast_shadow(background, feet_px, placement.scale_px)
    canvas = Canvas(size_px, placement)
    paint_support(canvas.placed(PICTURE_FRAME), support, feet_px, size_px, generator)
    paint_bird(canvas, species, body, pose, feet, generator=generator, swims=swims)

    picture = np.asarray(background, dtype=np.float32)
    lit, cover = light_canvas(canvas, light)
    if support == "water":
        picture = _mirror_on_water(picture, lit, cover, waterline_px)
        below = np.arange(size_px)[:, None, None] > waterline_px
        lit, cover = np.where(below, 0.0, lit), np.where(below, 0.0, cover)
    picture = picture * (1.0 - cover) + lit
    if generator.random() < _OCCLUDED_SHARE:
        front = Canvas(size_px, PICTURE_FRAME)
        paint_foreground(front, size_px, generator)
        lit, cover = light_canvas(front, light)
        picture = picture * (1.0 - cover) + lit
    return develop(picture, light, generator)


def render_jpeg(species: Species, generator: np.random.Generator, size_px: int = 128) -> bytes:
    """Return `render_picture` as the bytes of a JPEG file of random quality."""
    picture = render_picture(species, generator, size_px)
    encoded = io.BytesIO()
    picture.save(encoded, format="JPEG", quality=int(generator.integers(*_JPEG_QUALITY)))
    return encoded.getvalue()


def _place(low: np.ndarray, high: np.ndarray, size_px: int, generator: np.random.Generator
           ) -> Placement:  # fmt: skip
    """Fit the bird's extent to a random share of the picture, near its middle."""
    share = generator.uniform(0.58, 0.98)
    scale = share * size_px / float((high - low).max())
    mirror = 1 if generator.random() < 0.5 else -1
    middle = (low + high) / 2
    free = np.maximum(size_px - (high - low) * scale, 0.1 * size_px)
    shift = generator.uniform(-0.5, 0.5, 2) * free * 0.8
    x, y = size_px / 2 - scale * middle * np.array([mirror, 1]) + shift
    return Placement(scale, (float(x), float(y)), mirror)


def _cast_shadow(background: Image.Image, feet_px: np.ndarray, scale_px: float) -> Image.Image:
    x, y = feet_px.mean(axis=0)
    mask = Image.new("L", background.size)
    box = (x - 0.42 * scale_px, y - 0.03 * scale_px, x + 0.36 * scale_px, y + 0.08 * scale_px)
    ImageDraw.Draw(mask).ellipse(box, fill=120)
    mask = mask.filter(ImageFilter.GaussianBlur(0.03 * scale_px))
    background.paste((40, 38, 40), mask=mask)
    return background


def _mirror_on_water(picture: np.ndarray, lit: np.ndarray, cover: np.ndarray, line_px: float
                     ) -> np.ndarray:  # fmt: skip
    """Lay the bird's reflection on the water below `line_px`."""
    size = picture.shape[0]
    rows = np.arange(size)
    source = np.round(2 * line_px - rows).astype(int)
    source = source + np.round(1.5 * np.sin(rows * 1.1)).astype(int)
    visible = (rows > line_px) & (source >= 0) & (source < size)
    source = np.clip(source, 0, size - 1)
    fade = (0.55 * visible * np.clip(1.2 - (rows - line_px) / (0.5 * size), 0, 1))[:, None, None]
    return picture * (1.0 - cover[source] * fade) + lit[source] * (0.8 * fade)
