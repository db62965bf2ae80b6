"""What comes out of a run's model: what the rooms below the tasks ask of a task."""

from __future__ import annotations

from typing import Any, Protocol

import keras


class Head(Protocol):
    """What stands on the backbone, as those see it who cut the model in two.

    Attributes:
        poolings: the layers that turn a map into a vector. They stand below the cut where nothing
            is unfrozen, and so their kinds decide which features are stored.
    """

    @property
    def poolings(self) -> tuple[keras.layers.Layer, ...]: ...

    def count_pooled(self, shape: tuple[Any, ...]) -> int:
        """Number of channels that `pool` gives for features of a shape, the batch included."""

    def pool(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """Map the backbone's features ``[batch, …]`` to vectors ``[batch, channels]``."""

    def classify(self, pooled: keras.KerasTensor) -> keras.KerasTensor:
        """Map pooled features ``[batch, channels]`` to what the model gives."""
