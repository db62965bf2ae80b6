"""The common part of every modality's augmentation. This module imports no TensorFlow."""

from __future__ import annotations

from typing import Self

from tfxfer.config.table import Table


class Augmentation(Table):
    """Random changes to training items: the base of each modality's ``[augmentation]``."""

    policy: str = "none"

    def under(self, policy: str | None) -> Self:
        """Return the same changes with a phase's policy; None leaves them as they are."""
        return self if policy is None else self.model_copy(update={"policy": policy})

    @property
    def mirrors(self) -> bool:
        """Whether an item and its mirror image show the same thing."""
        return False

    @property
    def is_unusual(self) -> bool:
        """Whether the changes differ from none and from the usual ones."""
        return False

    def describe(self) -> str:
        """Return a text of all that decides the changes; equal texts give the same views."""
        return "none" if self.policy == "none" else self.model_dump_json()
