"""A row of the table of KerasHub's families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KerasHubFamily:
    """How the networks of one of KerasHub's backbone classes are taken apart.

    Attributes:
        name: The name of the class.
        block_end: The expression on the last operation of a block, as in `families.Family`.
        container: The class of a layer that hides the blocks, if the network has one; the layer is
            replaced by its parts.
        take_apart: A function that runs such a layer part by part.
        readout: ``"token"`` takes the first token of a sequence, ``"mean"`` the mean of all
            tokens, and ``"map"`` keeps a feature map.
    """

    name: str
    block_end: str
    container: str = ""
    take_apart: Callable[..., Any] | None = None
    readout: str = "map"
