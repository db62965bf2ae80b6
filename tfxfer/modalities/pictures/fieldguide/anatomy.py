"""The posed body of a bird as geometry: a spine with radii, and frames to place plumage in."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfxfer.modalities.pictures.fieldguide.silhouettes import (
    WING_LOWER,
    WING_UPPER,
    Outline,
    Silhouette,
)

_STEPS_PER_SEGMENT = 10


@dataclasses.dataclass(frozen=True)
class Pose:
    """How the bird holds itself. Positive angles lift the bill, wing or tail."""

    body_tilt_deg: float = 0.0
    head_pitch_deg: float = 0.0
    head_yaw: float = 1.0  # foreshortening of the bill: 1 in profile, below 0 looking back
    wing_lift_deg: float = 0.0
    tail_lift_deg: float = 0.0
    stride: float = 0.0  # distance of the two feet from each other, in body lengths


def smooth_curve(points: np.ndarray, *, closed: bool, steps: int = 6) -> np.ndarray:
    """Return a uniform Catmull-Rom spline through `points` [n, d], as [m, d]."""
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[:, None, None]
    a, b, c, d = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    curve = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    flat = curve.transpose(1, 0, 2).reshape(-1, points.shape[1])
    return flat if closed else np.concatenate([flat, points[-1:]])


def rotated(points: np.ndarray, angle_deg: float, pivot: np.ndarray) -> np.ndarray:
    """Turn `points` [n, 2] about `pivot`; a positive angle lifts what lies ahead (y is down)."""
    angle = np.deg2rad(-angle_deg)
    cos, sin = np.cos(angle), np.sin(angle)
    return (points - pivot) @ np.array([[cos, sin], [-sin, cos]]) + pivot


@dataclasses.dataclass(frozen=True)
class Frame:
    """A local frame: `at` turns (along, across) pairs [n, 2] into points of the bird frame."""

    origin: np.ndarray
    along: np.ndarray
    across: np.ndarray

    def at(self, outline: Outline | np.ndarray) -> np.ndarray:
        pairs = np.asarray(outline, dtype=np.float64)
        return self.origin + pairs[:, :1] * self.along + pairs[:, 1:] * self.across

    def smooth(self, outline: Outline | np.ndarray) -> np.ndarray:
        return smooth_curve(self.at(outline), closed=True)


@dataclasses.dataclass(frozen=True)
class Body:
    """A posed body. `spine` [n, 3] holds x, y and radius from the tail's root to the head."""

    spine: np.ndarray
    head: Frame  # forward and up, in head radii
    wing: Frame  # along the folded wing and across it, towards the back
    tail: Frame  # from the root of the tail backwards and across
    hip: np.ndarray

    @property
    def last(self) -> int:
        """The value of `s` at the end of the spine, the centre of the head."""
        return (len(self.spine) - 1) // _STEPS_PER_SEGMENT

    def at(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return points [n, 2] at `s` along the spine and `t` radii from it (−1 belly, 1 back).

        `s` counts the control points of the silhouette: 0 is the root of the tail, 2 the belly, 3
        the breast, `last` the head. So one pattern suits a wren and a heron.
        """
        position = np.clip(s, 0.0, self.last) * _STEPS_PER_SEGMENT
        index = np.minimum(position.astype(int), len(self.spine) - 2)
        part = (position - index)[:, None]
        here = self.spine[index] * (1 - part) + self.spine[index + 1] * part
        tangent = self.spine[index + 1, :2] - self.spine[index, :2]
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
        normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
        return here[:, :2] + normal * (here[:, 2] * t)[:, None]

    def band(self, start: float, stop: float, low: tuple[float, ...], high: tuple[float, ...]
             ) -> np.ndarray:  # fmt: skip
        """Return the area from s = `start` to `stop` between two edges, given by values of t."""
        part = np.linspace(0.0, 1.0, 9)
        s = start + part * (stop - start)
        edges = [np.interp(part, np.linspace(0, 1, len(edge)), edge) for edge in (low, high)]
        return np.concatenate([self.at(s, edges[0]), self.at(s[::-1], edges[1][::-1])])


def wing_point(along: float, part: float) -> tuple[float, float]:
    """Return (along, across) on the folded wing; `part` is −1 at the lower, 1 at the upper edge."""
    profile = WING_UPPER if part >= 0 else WING_LOWER
    half_width = float(np.interp(along, *np.transpose(profile)))
    return along, part * half_width


def wing_outline() -> Outline:
    """Return the folded wing as a closed (along, across) outline."""
    return (*WING_UPPER, *[(u, -w) for u, w in reversed(WING_LOWER[1:-1])])


def build_body(shape: Silhouette, pose: Pose) -> Body:
    """Bend the silhouette into the pose; the head and the neck turn about the breast."""
    points = np.array(shape.spine)
    neck = len(points) - 2
    points[neck:, :2] = rotated(points[neck:, :2], pose.head_pitch_deg, points[neck - 1, :2])
    points[:, :2] = rotated(points[:, :2], pose.body_tilt_deg, points[2, :2])
    spine = smooth_curve(points, closed=False, steps=_STEPS_PER_SEGMENT)
    x, y, radius = points[-1]
    angle = np.deg2rad(shape.bill_angle_deg - pose.head_pitch_deg - 0.6 * pose.body_tilt_deg)
    forward = np.array([np.cos(angle), np.sin(angle)]) * radius
    up = np.array([forward[1], -forward[0]])
    yaw = 1.0 if shape.faces_viewer else pose.head_yaw
    head = Frame(np.array([x, y]), forward * yaw, up)

    root = points[0, :2]
    outward = root - points[1, :2]
    outward /= np.linalg.norm(outward)
    outward = rotated(outward[None], -shape.tail_angle_deg - pose.tail_lift_deg, np.zeros(2))[0]
    tail_across = np.array([-outward[1], outward[0]]) * shape.tail[1]
    tail = Frame(root - outward * 0.05, outward * shape.tail[0], tail_across)

    body = Body(spine, head, head, tail, np.zeros(2))
    shoulder, goal = body.at(np.array([3.3, 0.15]), np.array([0.12, 0.45]))
    axis = rotated((goal - shoulder)[None], -pose.wing_lift_deg, np.zeros(2))[0] * shape.wing[0]
    across = np.array([-axis[1], axis[0]]) / np.linalg.norm(axis) * shape.wing[1]
    # A lifted wing is open, so that it covers more than a folded one.
    across *= 1.0 + min(abs(pose.wing_lift_deg), 60.0) / 90.0
    hip = body.at(np.array([2.1]), np.array([-0.75]))[0]
    return Body(spine, head, Frame(shoulder, axis, across), tail, hip)
