"""One bird, painted in its pose from tail to bill."""

from __future__ import annotations

import numpy as np

from tfxfer.modalities.pictures.fieldguide.anatomy import Body, Pose, build_body, smooth_curve
from tfxfer.modalities.pictures.fieldguide.canvas import Canvas, shade
from tfxfer.modalities.pictures.fieldguide.plumage import paint_body, paint_wing
from tfxfer.modalities.pictures.fieldguide.silhouettes import (
    BILL_LENGTH_FACTORS,
    BILLS,
    CRESTS,
    LEG_LENGTH_FACTORS,
    SILHOUETTES,
    TAIL_LENGTH_FACTORS,
    TAILS,
    Silhouette,
)
from tfxfer.modalities.pictures.fieldguide.traits import COLOURS, Rgb, Species

_THIGH = ((-0.075, 0.0), (-0.015, -0.02), (0.03, -0.03), (0.075, -0.01))
_TOES = ((0.085, 0.022), (0.07, 0.042), (0.04, 0.05), (-0.05, 0.02))
_HOOK = ((-0.03, -0.08), (0.1, 0.05), (0.23, -0.08), (0.2, -0.30), (0.1, -0.48), (0.0, -0.30))
_TAIL_HEIGHT, _LEG_HEIGHT, _BILL_HEIGHT, _CREST_HEIGHT = 80, 90, 130, 125


def pose_body(species: Species, pose: Pose) -> Body:
    """Return the posed body of a species in the bird frame."""
    return build_body(SILHOUETTES[species.silhouette], pose)


def foot_points(species: Species, body: Body, pose: Pose) -> np.ndarray:
    """Return the far and the near foot [2, 2] in the bird frame, both at the same height."""
    shape = SILHOUETTES[species.silhouette]
    length = shape.leg[0] * LEG_LENGTH_FACTORS[species.leg_length]
    level = body.hip[1] + length + 0.03
    return np.array([[body.hip[0] + 0.06 + pose.stride, level], [body.hip[0] - pose.stride, level]])


def extent(species: Species, body: Body, feet: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest x, y that the bird covers, in the bird frame."""
    discs, radii = body.spine[:, :2], body.spine[:, 2:]
    tail = body.tail.at(_tail_outline(species))
    tip = body.head.at(_bill_outline(species)[0])
    points = np.concatenate([discs - radii, discs + radii, tail, tip, feet])
    return points.min(axis=0), points.max(axis=0)


def paint_bird(canvas: Canvas, species: Species, body: Body, pose: Pose, feet: np.ndarray,
               *, generator: np.random.Generator, swims: bool) -> None:  # fmt: skip
    """Paint the whole bird, without legs if it swims."""
    shape = SILHOUETTES[species.silhouette]
    _paint_tail(canvas, species, body)
    if not swims:
        _paint_legs(canvas, species, body, feet, shape)
    for outline in () if shape.faces_viewer else CRESTS[species.crest]:
        _paint_crest(canvas, species, body, np.array(outline))
    paint_body(canvas, species, body, generator)
    paint_wing(canvas, species, body)
    if shape.faces_viewer:
        _paint_front_face(canvas, species, body, shape)
    else:
        _paint_bill(canvas, species, body)
        _paint_eye(canvas, species, body, np.array([0.34, 0.16]), shape.eye)


def _tail_outline(species: Species) -> np.ndarray:
    length = TAIL_LENGTH_FACTORS[species.tail_length]
    return np.array(TAILS[species.tail_shape]) * np.array([length, 1.0])


def _paint_tail(canvas: Canvas, species: Species, body: Body) -> None:
    colour = COLOURS[species.tail]
    outline = _tail_outline(species)
    length = outline[:, 0].max()
    canvas.polygon(smooth_curve(body.tail.at(outline), closed=True, steps=3), colour, _TAIL_HEIGHT)
    for across in np.linspace(-0.6, 0.6, 5):
        end = 0.92 * length * (1 - 0.1 * abs(across)), np.abs(outline[:, 1]).max() * across
        line = np.array([(0.05 * length, across * 0.5), end])
        canvas.stroke(body.tail.at(line), shade(colour, 0.6), 0.006, _TAIL_HEIGHT - 25)


def _paint_legs(canvas: Canvas, species: Species, body: Body, feet: np.ndarray, shape: Silhouette
                ) -> None:  # fmt: skip
    colour, thickness = COLOURS[species.leg_colour], shape.leg[1]
    for foot, factor in zip(feet, (0.62, 1.0), strict=True):
        hip = np.array([foot[0] * 0.6 + body.hip[0] * 0.4, body.hip[1] - 0.03])
        drop = foot[1] - hip[1]
        # The visible joint of a bird's leg is its ankle, which bends backwards.
        ankle = np.array([(hip[0] + foot[0]) / 2 - 0.10 * drop - 0.01, hip[1] + 0.45 * drop])
        tone = shade(colour, factor)
        thigh = np.stack([hip, ankle, ankle, hip]) + np.array(_THIGH)
        canvas.stroke(np.stack([hip, ankle, foot]), tone, thickness, _LEG_HEIGHT)
        plume = shade(COLOURS[species.belly], 0.62 + 0.25 * factor)
        canvas.polygon(smooth_curve(thigh, closed=True, steps=3), plume, _LEG_HEIGHT)
        spread = thickness / 0.022 * 0.75
        for toe in _TOES:
            line = np.stack([foot, foot + np.array(toe) * spread])
            canvas.stroke(line, tone, thickness * 0.8, _LEG_HEIGHT)


def _paint_crest(canvas: Canvas, species: Species, body: Body, outline: np.ndarray) -> None:
    colour = COLOURS[species.crown]
    canvas.polygon(smooth_curve(body.head.at(outline), closed=True, steps=3), colour, _CREST_HEIGHT)
    root = outline.mean(axis=0) * 0.5
    for tip in outline[1:-1]:
        line = body.head.at(np.stack([root, tip * 0.95]))
        canvas.stroke(line, shade(colour, 0.7), 0.005, _CREST_HEIGHT - 30)


def _bill_outline(species: Species) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper edge with the tip, and the lower edge back from it, in the head frame."""
    shape = SILHOUETTES[species.silhouette]
    length, upper, lower = BILLS[species.bill_shape]
    scale = np.array([length * BILL_LENGTH_FACTORS[species.bill_length] * shape.bill, 1.0])
    root = np.array([0.80, -0.02])
    return np.array(upper) * scale + root, np.array(lower) * scale + root


def _paint_bill(canvas: Canvas, species: Species, body: Body) -> None:
    colour = COLOURS[species.bill_colour]
    upper, lower = _bill_outline(species)
    rim = smooth_curve(body.head.at(upper), closed=False, steps=4)
    under = smooth_curve(body.head.at(np.concatenate([upper[-1:], lower])), closed=False, steps=4)
    canvas.polygon(np.concatenate([rim, under]), shade(colour, 0.78), _BILL_HEIGHT - 20)
    middle = np.concatenate([upper[-1:], (upper[:1] * 0.4 + lower[-1:] * 0.6)])
    gape = body.head.at(middle)
    canvas.polygon(np.concatenate([rim, gape]), colour, _BILL_HEIGHT)
    canvas.stroke(gape, shade(colour, 0.4), 0.006, _BILL_HEIGHT - 40)
    nostril = body.head.at(upper[:1] * 0.75 + upper[1:2] * 0.25 - np.array([[0.0, 0.12]]))[0]
    canvas.disc(nostril, 0.006, shade(colour, 0.35), _BILL_HEIGHT - 40)


def _paint_eye(canvas: Canvas, species: Species, body: Body, where: np.ndarray, size: float
               ) -> None:  # fmt: skip
    centre = body.head.at(where[None])[0]
    along, across = (float(np.linalg.norm(axis)) for axis in (body.head.along, body.head.across))
    # The eyes of small-headed birds keep a visible size.
    radius = max(across * size, 0.022)
    stretch = 0.6 + 0.4 * min(1.0, along / across)
    iris: Rgb = COLOURS[species.iris]
    if species.eye_ring != "none":
        canvas.disc(centre, radius * 1.5, COLOURS[species.eye_ring], 130, stretch)
    canvas.disc(centre, radius * 1.12, shade(iris, 0.45), 120, stretch)
    canvas.disc(centre, radius, iris, 125, stretch)
    canvas.disc(centre, radius * 0.62, (12, 11, 14), 125, stretch)
    glint = centre + np.array([0.32 * radius, -0.34 * radius])
    canvas.disc(glint, radius * 0.3, (250, 250, 250), 125)


def _paint_front_face(canvas: Canvas, species: Species, body: Body, shape: Silhouette) -> None:
    """Paint the face of an owl, which looks at the viewer with both eyes."""
    pale = shade(COLOURS[species.breast], 1.25)
    disc = COLOURS[species.face_colour] if species.face in ("mask", "cheek") else pale
    radius = float(np.linalg.norm(body.head.across))
    for outline in CRESTS[species.crest]:
        _paint_crest(canvas, species, body, np.array(outline))
    for side in (-1.0, 1.0):
        centre = body.head.at(((side * 0.36 + 0.1, -0.06),))[0]
        canvas.disc(centre, radius * 0.60, shade(disc, 0.5), 112)
        canvas.disc(centre, radius * 0.54, shade(disc, 0.86), 118)
        canvas.disc(centre, radius * 0.36, disc, 128)
        for angle in np.linspace(0, 2 * np.pi, 18, endpoint=False):
            ray = np.array([np.cos(angle), np.sin(angle)]) * radius
            canvas.stroke(np.stack([centre + ray * 0.24, centre + ray * 0.50]), shade(disc, 0.72),
                          0.006, 112)  # fmt: skip
        _paint_eye(canvas, species, body, np.array([side * 0.36 + 0.1, 0.02]), shape.eye)
    if species.face in ("brow", "eye_stripe"):
        brow = body.head.at(((-0.75, 0.55), (0.1, -0.05), (0.95, 0.55)))
        canvas.stroke(brow, COLOURS[species.face_colour], 0.03, 130)
    canvas.polygon(body.head.smooth(_HOOK), COLOURS[species.bill_colour], 150)
