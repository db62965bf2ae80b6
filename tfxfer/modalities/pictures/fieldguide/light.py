"""Light, camera and film: from painted layers to the picture's pixels."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image, ImageFilter

from tfxfer.modalities.pictures.fieldguide.canvas import OVERSAMPLING, Canvas


@dataclasses.dataclass(frozen=True)
class Light:
    """The light of one picture; `exposure`, `contrast` and `warmth` act on the whole picture."""

    direction: tuple[float, float]  # towards the light, picture axes (y down)
    strength: float
    exposure: float
    contrast: float
    warmth: float  # −1 cold … 1 warm


def draw_light(generator: np.random.Generator) -> Light:
    """Return a random light, mostly from above, between that of noon and of dusk."""
    angle = np.deg2rad(generator.normal(-90.0, 38.0))
    return Light(
        direction=(float(np.cos(angle)), float(np.sin(angle))),
        strength=float(generator.uniform(0.5, 1.25)),
        exposure=float(np.exp(generator.normal(0.0, 0.13))),
        contrast=float(generator.uniform(0.76, 1.1)),
        warmth=float(generator.normal(0.0, 0.4)),
    )


def _slope(relief: Image.Image, radius: float, light: Light, reach: int) -> np.ndarray:
    """Return how far the blurred relief faces the light, [size, size], in heights per pixel."""
    height = np.asarray(relief.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32)
    slope = np.zeros_like(height)
    x, y = light.direction
    slope[:, reach:-reach] += x * (height[:, : -2 * reach] - height[:, 2 * reach :])
    slope[reach:-reach] += y * (height[: -2 * reach] - height[2 * reach :])
    return slope / (2 * reach)


def light_canvas(canvas: Canvas, light: Light) -> tuple[np.ndarray, np.ndarray]:
    """Return the lit colour [size, size, 3], multiplied by its cover, and the cover, 0…1."""
    colour = np.asarray(canvas.colour.reduce(OVERSAMPLING), dtype=np.float32)
    cover_picture = canvas.cover.reduce(OVERSAMPLING)
    cover = np.asarray(cover_picture, dtype=np.float32)[..., None] / 255.0
    relief = canvas.relief.reduce(OVERSAMPLING)
    size = relief.size[0]
    round_body = _slope(relief, 0.045 * size, light, 2) * (size / 128)
    feathers = _slope(relief, 0.006 * size, light, 1) * (size / 128)
    shading = 0.97 + light.strength * (0.055 * round_body + 0.0042 * feathers)
    np.clip(shading, 0.38, 1.45, out=shading)
    return colour * shading[..., None], cover


def develop(picture: np.ndarray, light: Light, generator: np.random.Generator) -> Image.Image:
    """Apply exposure, contrast, white balance, grain and softness to [size, size, 3], 0…255."""
    gain = light.exposure * np.array(
        [1.0 + 0.09 * light.warmth, 1.0, 1.0 - 0.12 * light.warmth], dtype=np.float32
    )
    developed = (picture * gain - 118.0) * light.contrast + 118.0
    # As on film, values approach white instead of being clipped, so that pale plumage has shading.
    developed = np.where(developed > 200.0, 255.0 - 55.0 * np.exp((200.0 - developed) / 55.0),
                         developed)  # fmt: skip
    size = developed.shape[0]
    grain = abs(generator.normal(0.0, 4.0))
    noise = generator.standard_normal((size, size), dtype=np.float32)
    developed += (grain * noise)[..., None]
    film = Image.fromarray(np.clip(developed, 0, 255).astype(np.uint8))
    softness = abs(generator.normal(0.0, 0.0038)) * size
    return film.filter(ImageFilter.GaussianBlur(softness)) if softness > 0.35 else film
