"""The endings of picture files, and the settings of augmentation. This imports no TensorFlow."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from tfxfer.config.augmentation import Augmentation
from tfxfer.modality import InputSpec

# Files with these endings are taken for pictures; the content decides if they can be read.
PICTURE_ENDINGS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif",
                   ".tiff", ".heic", ".heif", ".avif"}  # fmt: skip


# What can be decoded, by TensorFlow, in training and in the exported model alike.
FORMATS = ("JPEG", "PNG", "BMP", "WebP")
Policy = Literal["none", "light", "standard", "randaugment", "trivialaugment"]
POLICIES: tuple[str, ...] = get_args(Policy)


def input_spec(size_px: int) -> InputSpec:
    """Return what a network of pictures takes: ``[size, size, 3]`` float32, RGB, 0…255."""
    return InputSpec("pictures", (size_px, size_px, 3))


def side_px(spec: InputSpec) -> int:
    """Return the side of the square pictures that a network takes, in pixels."""
    return int(spec.shape[0] or 0)


class AugmentationConfig(Augmentation):
    """Random changes to training pictures; never part of the exported model.

    A phase may have another policy, and it has its own settings `mixup` and `cutmix`.
    """

    policy: Policy = "standard"  # `modalities/pictures/augment.py` says what each one does.
    crop_min_area: float = Field(0.5, gt=0, le=1)  # the smallest crop's share of the area
    flip: bool = True  # mirrors left and right; letters, for example, must not be mirrored
    rotate: bool = False  # turns by 90°, for pictures that have no top; with flip, in all 8 ways
    # This is the strength of brightness, contrast and saturation. Below 0.2 it also limits these
    # operations of randaugment and trivialaugment, and leaves out those that redraw all colours.
    colour: float = Field(0.2, ge=0, le=1)
    magnitude: float = Field(0.3, ge=0, le=1)  # the strength of randaugment's operations
    erasing: float = Field(0.0, ge=0, le=1)  # the probability that a rectangle is erased

    @property
    def mirrors(self) -> bool:
        """Whether a picture and its mirror image show the same thing."""
        return self.flip

    @property
    def is_unusual(self) -> bool:
        """Whether changes are asked for that are neither none nor the usual ones."""
        return self.policy not in ("none", "standard") or bool(self.erasing)

    def describe(self) -> str:
        """Return a text of all settings that matter: settings with equal texts give equal views."""
        unused = set()
        if self.policy == "none":
            return "none"
        if self.policy == "standard":
            unused.add("policy")  # Features stored before other policies existed stay valid.
        if self.policy == "light":
            unused.add("colour")
        if self.policy != "randaugment":
            unused.add("magnitude")
        if not self.erasing:
            unused.add("erasing")
        return self.model_dump_json(exclude=unused)
