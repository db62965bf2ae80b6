"""The protocols by which the rooms below the tasks know a task."""

from __future__ import annotations

from typing import Any, Protocol

import keras


class Head(Protocol):
    """The head of a model, as the code around the cut sees it.

    Attributes:
        poolings: The layers that turn a map into a vector. If nothing is unfrozen, they lie below
            the cut, so that their kinds decide which features are stored.
    """

    @property
    def poolings(self) -> tuple[keras.layers.Layer, ...]: ...

    def count_pooled(self, shape: tuple[Any, ...]) -> int:
        """Return the number of channels that `pool` gives for features of a shape with batch."""

    def pool(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """Map the backbone's features ``[batch, …]`` to vectors ``[batch, channels]``."""

    def classify(self, pooled: keras.KerasTensor) -> keras.KerasTensor:
        """Map pooled features ``[batch, channels]`` to the model's outputs."""
