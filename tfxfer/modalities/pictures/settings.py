"""Which files are taken for pictures, and how their views are changed. Imports no TensorFlow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tfxfer.config.table import Table

# Endings that say "picture"; whether a file is one that can be read is decided by its content.
PICTURE_ENDINGS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif",
                   ".tiff", ".heic", ".heif", ".avif"}  # fmt: skip


POLICIES = ("none", "light", "standard", "randaugment", "trivialaugment")


Policy = Literal["none", "light", "standard", "randaugment", "trivialaugment"]


class AugmentationConfig(Table):
    """Random changes to training pictures; never part of the exported model.

    A phase may take another policy, and mixes its batches by `mixup` and `cutmix` of its own.
    """

    policy: Policy = "standard"  # what each one does: modalities/pictures/augment.py
    crop_min_area: float = Field(0.5, gt=0, le=1)  # smallest crop, as a share; 1: no crop
    flip: bool = True  # left and right; not where a mirror image is another thing, as of letters
    rotate: bool = False  # by quarter turns, where a picture has no top; with flip, all 8 ways
    # Strength of brightness, contrast, saturation. Below 0.2 it limits these operations of
    # randaugment and trivialaugment too, and leaves out those that redraw colours altogether.
    colour: float = Field(0.2, ge=0, le=1)
    magnitude: float = Field(0.3, ge=0, le=1)  # of randaugment's operations
    erasing: float = Field(0.0, ge=0, le=1)  # probability that a rectangle is erased

    def under(self, policy: Policy | None) -> AugmentationConfig:
        """The same with a phase's policy; None: as it is."""
        return self if policy is None else self.model_copy(update={"policy": policy})

    def describe(self) -> str:
        """All that decides the changes, and nothing else: two that agree give the same views."""
        unused = set()
        if self.policy == "none":
            return "none"
        if self.policy == "standard":
            unused.add("policy")  # features that were stored before there was another one
        if self.policy == "light":
            unused.add("colour")
        if self.policy != "randaugment":
            unused.add("magnitude")
        if not self.erasing:
            unused.add("erasing")
        return self.model_dump_json(exclude=unused)
