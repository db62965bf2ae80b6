"""The protocol of a modality's row in `kinds.py`. This module imports no TensorFlow.

A modality is one kind of item, such as pictures. Its row says how an item is read, augmented,
audited and drawn, and which networks take it; everything else is the same for all modalities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tfxfer.backbones.backbone import Backbone
    from tfxfer.backbones.hub_family import KerasHubFamily
    from tfxfer.config.augmentation import Augmentation
    from tfxfer.config.backbone import BackboneConfig
    from tfxfer.config.data import DataConfig
    from tfxfer.data.items import ItemSet
    from tfxfer.records.audits import Copies, Look

# A view is a function from an encoded item, perhaps with a seed ``[2]`` int64, to an array.
View = Callable[..., Any]


@dataclass(frozen=True)
class InputSpec:
    """The array that a network takes for one item.

    Attributes:
        name: The name of the model's input, such as ``"pictures"``.
        shape: The shape of one item; None stands for an axis of any length. There is at most one.
        dtype: The dtype, such as ``"float32"``.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"

    @classmethod
    def of(cls, model: Any) -> InputSpec:
        """Return the array that a `keras.Model` takes for one item."""
        (taken,) = model.inputs
        return cls(taken.name, tuple(taken.shape[1:]), taken.dtype)


@dataclass(frozen=True)
class Network:
    """A pretrained network that a config may name without a prefix.

    Attributes:
        parameters: The number of its weights, at width 1.
        blocks: The number of its blocks.
        takes: Its input for one item at its own size, in words for people.
        preprocessing: Its preprocessing, in words for people.
        licence: The licence of its pretrained weights.
        alphas: The width multipliers with pretrained weights; empty if it has no widths.
    """

    parameters: int
    blocks: int
    takes: str
    preprocessing: str
    licence: str
    alphas: tuple[float, ...] = ()


@dataclass(frozen=True)
class Signature:
    """One signature of an exported model.

    Attributes:
        name: The name of the signature.
        spec: `tf.TensorSpec` of a batch of what it takes, with the input's name.
        convert: A function from such a batch to a batch of the network's inputs. That of encoded
            items also returns ``[batch]`` bool, which says what could be decoded.
        gives_embeddings: Whether it gives the features that the head reads, not probabilities.
        is_encoded: Whether it takes encoded items, as they lie in files.
    """

    name: str
    spec: Any
    convert: Callable[[Any], Any]
    gives_embeddings: bool = False
    is_encoded: bool = False


class Preprocessing(Protocol):
    """The preprocessing that a network expects; its `repr` is part of stored features' keys."""

    def apply(self, inputs: Any) -> Any:
        """Apply the preprocessing to a batch of inputs inside the model."""


class Modality(Protocol):
    """One kind of item.

    Attributes:
        name: Its key in `kinds.MODALITIES`, which is also the word for several items.
        item: The word for one item.
        endings: The endings of files that are taken for items, in lower case with their dots.
        formats: The names of the readable formats, for people.
        oddities: The oddities that a usable item may have, with their meanings.
        policies: The names of the policies of augmentation.
        augmentation: The class of a config's table ``[augmentation]``.
        networks: The networks that a config may name without a prefix, by name.
        embedded: The name and width of the network whose weights are part of the package.
        usual_input: The input that previews use if the network's own is not known yet.
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
    @property
    def networks(self) -> Mapping[str, Network]: ...
    @property
    def embedded(self) -> tuple[str, float]: ...

    def list_embedded(self, config: DataConfig) -> Any:
        """Draw the embedded items unless they are there; return their TFDS builder."""

    def sniff(self, encoded: bytes) -> str | None:
        """Return the format of an encoded item by its first bytes; None if it is no item."""

    def input_of(self, backbone: BackboneConfig) -> InputSpec | None:
        """Return the input of a network; None if it is known only when the network is loaded."""

    def draw(self, view: Any) -> Any:
        """Draw a view as a picture ``[height, width, 3]`` uint8 for previews and reports."""

    def plain_view(self, spec: InputSpec) -> View:
        """Return a function, traced once, from an encoded item to its plain array."""

    def augmented_view(self, spec: InputSpec, augmentation: Any) -> View:
        """Return a function, traced once, from an encoded item and a seed to an augmented array."""

    def look(self, items: ItemSet, show: Callable[[int], None]) -> list[Look]:
        """Look at items, in order, with the decoder that training and serving use."""

    def look_at_encoded(self, encoded: bytes, header_only: bool = False) -> Look:
        """Look at one encoded item, or only at its header."""

    def find_fault(self, encoded: bytes) -> str | None:
        """Return why an item would be decoded wrongly, or None if it would not."""

    def find_copies(self, looks: Sequence[Look], mirrored: bool) -> tuple[Copies, ...]:
        """Find the items that are copies of one another; their rows are positions in `looks`."""

    def build_network(self, config: BackboneConfig) -> Backbone:
        """Build a network of `networks` as a config asks for it, with its weights loaded."""

    def fit_module(
        self, shape: tuple[int | None, ...], dtype: str, config: BackboneConfig
    ) -> tuple[InputSpec, Preprocessing]:
        """Return the input of a TF-Hub module and its preprocessing; refuse another modality's."""

    def fit_preset(
        self, network: Any, preset: str, config: BackboneConfig
    ) -> tuple[InputSpec, Preprocessing, tuple[str, ...]]:
        """Return the input of a KerasHub preset, its preprocessing, and notes for the user."""

    def hub_families(self) -> Mapping[str, KerasHubFamily]:
        """Return the rows by which KerasHub's networks are taken apart, by class name."""

    def signatures(self, spec: InputSpec) -> tuple[Signature, ...]:
        """Return the signatures of an exported model."""
