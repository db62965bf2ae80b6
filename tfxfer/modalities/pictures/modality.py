"""The row of pictures in the table of modalities. This module itself imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfxfer.modalities.pictures.networks.families import (
    COUNTS,
    EMBEDDED_ALPHA,
    EMBEDDED_NETWORK,
    NETWORKS,
    Family,
)
from tfxfer.modalities.pictures.networks.preprocessing import PREPROCESSINGS, Preprocessing
from tfxfer.modalities.pictures.oddities import ODDITIES
from tfxfer.modalities.pictures.settings import (
    FORMATS,
    PICTURE_ENDINGS,
    POLICIES,
    AugmentationConfig,
    input_spec,
    side_px,
)
from tfxfer.modality import InputSpec, Network, Signature, View

if TYPE_CHECKING:
    import numpy as np

    from tfxfer.backbones.backbone import Backbone
    from tfxfer.backbones.hub_family import KerasHubFamily
    from tfxfer.config.backbone import BackboneConfig
    from tfxfer.config.data import DataConfig
    from tfxfer.data.items import ItemSet
    from tfxfer.records.audits import Copies, Look


class Pictures:
    """The modality of encoded pictures, whose views are ``[size, size, 3]`` float32, RGB, 0…255."""

    name = "pictures"
    item = "picture"
    endings = frozenset(PICTURE_ENDINGS)
    formats = FORMATS
    oddities = ODDITIES
    policies = POLICIES
    augmentation = AugmentationConfig
    usual_input = input_spec(224)
    embedded = (EMBEDDED_NETWORK, EMBEDDED_ALPHA)

    @property
    def networks(self) -> Mapping[str, Network]:
        """The networks of Keras Applications."""
        return {name: _describe(name, family) for name, family in NETWORKS.items()}

    def input_of(self, backbone: BackboneConfig) -> InputSpec | None:
        """Return the input of a network; None if it is known only when the network is loaded."""
        if backbone.image_size_px:
            return input_spec(backbone.image_size_px)
        family = NETWORKS.get(backbone.name)
        return input_spec(family.sizes_px[backbone.name]) if family else None

    def sniff(self, encoded: bytes) -> str | None:
        """Return the format of an encoded picture by its first bytes; None if it is no picture."""
        from tfxfer.modalities.pictures.decode import sniff

        return sniff(encoded)

    def draw(self, view: np.ndarray) -> np.ndarray:
        """Return the pixels of a view, ``[height, width, 3]`` uint8."""
        return view.round().astype("uint8")

    def plain_view(self, spec: InputSpec) -> View:
        """Return a function from an encoded picture to its plain view."""
        from tfxfer.modalities.pictures.view import plain_view

        return plain_view(side_px(spec))

    def augmented_view(self, spec: InputSpec, augmentation: AugmentationConfig) -> View:
        """Return a function from an encoded picture and a seed to an augmented view."""
        from tfxfer.modalities.pictures.view import augmented_view

        return augmented_view(side_px(spec), augmentation)

    def look(self, items: ItemSet, show: Callable[[int], None]) -> list[Look]:
        """Look at pictures with the decoder that training and serving use, in their order."""
        from tfxfer.modalities.pictures.look import look_at_pictures

        return look_at_pictures(items, show)

    def look_at_encoded(self, encoded: bytes, header_only: bool = False) -> Look:
        """Look at one encoded picture, or only at its header."""
        from tfxfer.modalities.pictures.look import look_at_encoded, look_at_header

        return look_at_header("", encoded) if header_only else look_at_encoded("", encoded)

    def find_fault(self, encoded: bytes) -> str | None:
        """Return the fault of a BMP file with a palette: it would be decoded to colour numbers."""
        return (
            self.look_at_encoded(encoded, header_only=True).fault if encoded[:2] == b"BM" else None
        )

    def find_copies(self, looks: Sequence[Look], mirrored: bool) -> tuple[Copies, ...]:
        """Find the pictures that are copies of one another, perhaps also mirrored ones."""
        from tfxfer.modalities.pictures.look import find_copies_by_looks

        return find_copies_by_looks(looks, mirrored)

    def build_network(self, config: BackboneConfig) -> Backbone:
        """Build a network of Keras Applications, with its weights loaded."""
        from tfxfer.modalities.pictures.networks.applications import build_application

        return build_application(config)

    def fit_module(
        self, shape: tuple[int | None, ...], dtype: str, config: BackboneConfig
    ) -> tuple[InputSpec, Preprocessing]:
        """Return the pictures that a module of TF-Hub takes; refuse one that takes none."""
        from tfxfer.modalities.pictures.networks.hub_inputs import fit_module

        return fit_module(shape, dtype, config)

    def fit_preset(
        self, network: Any, preset: str, config: BackboneConfig
    ) -> tuple[InputSpec, Preprocessing, tuple[str, ...]]:
        """Return the pictures that a preset of KerasHub takes, and notes on it."""
        from tfxfer.modalities.pictures.networks.hub_inputs import fit_preset

        return fit_preset(network, preset, config)

    def hub_families(self) -> Mapping[str, KerasHubFamily]:
        """Return the rows by which KerasHub's networks of pictures are taken apart."""
        from tfxfer.modalities.pictures.networks.hub_families import FAMILIES

        return FAMILIES

    def list_embedded(self, config: DataConfig) -> Any:
        """Draw the embedded birds, unless they are there, and return their builder."""
        from tfxfer.modalities.pictures.fieldguide.builder import prepare_fieldguide

        return prepare_fieldguide(config.reading.data_dir)

    def signatures(self, spec: InputSpec) -> tuple[Signature, ...]:
        """Return the signatures of an exported model of pictures."""
        from tfxfer.modalities.pictures.signatures import signatures

        return signatures(spec)


def _describe(name: str, family: Family) -> Network:
    parameters, blocks = COUNTS[name]
    return Network(
        parameters,
        blocks,
        f"{family.sizes_px[name]} px",
        PREPROCESSINGS[family.preprocessing].about,
        family.weights_licence,
        family.alphas,
    )
