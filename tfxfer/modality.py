"""What goes in: the protocol that each modality's row in `kinds.py` keeps. Imports no TensorFlow.

A modality is one kind of item, such as pictures. Its row says how an item is read, changed, looked
at and drawn, and which networks take it; everything else is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tfxfer.backbones.backbone import Backbone
    from tfxfer.config.augmentation import Augmentation
    from tfxfer.config.backbone import BackboneConfig
    from tfxfer.data.items import ItemSet
    from tfxfer.data.looks import Copies, Look

# From an encoded item to one array, or from an encoded item and a seed ``[2]`` int64 to one.
View = Callable[..., Any]


@dataclass(frozen=True)
class InputSpec:
    """The array that a network takes of one item.

    Attributes:
        name: of the model's input, such as ``"pictures"``.
        shape: of one item; None stands for an axis of any length, of which there is at most one.
        dtype: such as ``"float32"``.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"

    @classmethod
    def of(cls, model: Any) -> InputSpec:
        """Return what a `keras.Model` takes of one item."""
        (taken,) = model.inputs
        return cls(taken.name, tuple(taken.shape[1:]), taken.dtype)


class Preprocessing(Protocol):
    """What a network expects of its input; its representation decides stored features' keys."""

    def apply(self, inputs: Any) -> Any:
        """Apply it to a batch of inputs inside the model."""


class Modality(Protocol):
    """One kind of item.

    Attributes:
        name: its key in `kinds.MODALITIES`, and what several items are called.
        item: what one item is called.
        endings: endings of files that are taken for items, in lower case with their dots.
        formats: names of the formats that can be read, for people.
        oddities: what may be unusual about an item that can be used, with what it means.
        policies: names of the policies of augmentation.
        augmentation: the table of a config's ``[augmentation]``.
        usual_input: what is drawn in a preview where the network's own input is not known yet.
    """

    @property
    def name(self) -> str: ...
    @property
    def item(self) -> str: ...
    @property
    def endings(self) -> frozenset[str]: ...
    @property
    def formats(self) -> tuple[str, ...]: ...
    @property
    def oddities(self) -> Mapping[str, str]: ...
    @property
    def policies(self) -> tuple[str, ...]: ...
    @property
    def augmentation(self) -> type[Augmentation]: ...
    @property
    def usual_input(self) -> InputSpec: ...

    def sniff(self, encoded: bytes) -> str | None:
        """Return the format of an encoded item by its first bytes; None where it is no item."""

    def input_of(self, backbone: BackboneConfig) -> InputSpec | None:
        """Return what a network takes of an item; None where it is known when it is loaded."""

    def draw(self, view: Any) -> Any:
        """Return the picture of a view, ``[height, width, 3]`` uint8, for previews and reports."""

    def plain_view(self, spec: InputSpec) -> View:
        """Return a function from an encoded item to its array as it is; traced once."""

    def augmented_view(self, spec: InputSpec, augmentation: Any) -> View:
        """Return a function from an encoded item and a seed to its changed array; traced once."""

    def look(self, items: ItemSet, show: Callable[[int], None]) -> list[Look]:
        """Look at items with the decoder that training and serving use, in their order."""

    def look_at_encoded(self, encoded: bytes, header_only: bool = False) -> Look:
        """Look at one encoded item, or at its header alone."""

    def find_copies(self, looks: Sequence[Look], mirrored: bool) -> tuple[Copies, ...]:
        """Find the items that are copies of one another; rows are positions in the looks."""

    def build_backbone(self, config: BackboneConfig) -> Backbone:
        """Build the network that a config names, with its weights loaded."""
