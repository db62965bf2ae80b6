"""How the networks of one of KerasHub's classes are taken apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KerasHubFamily:
    """How the networks of one of KerasHub's backbone classes are taken apart.

    Attributes:
        name: name of the class.
        block_end: as in `families.Family`.
        container: name of the layer class that holds the blocks, where the network hides them in
            one; it is replaced by its parts.
        take_apart: runs such a layer part by part.
        readout: ``"token"`` takes the first one of a sequence, ``"mean"`` the mean of all.
    """

    name: str
    block_end: str
    container: str = ""
    take_apart: Callable[..., Any] | None = None
    readout: str = "map"
