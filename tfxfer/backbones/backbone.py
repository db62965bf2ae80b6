"""A pretrained network without its top, ready to be frozen and unfrozen block by block."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from tfxfer.backbones.blocks import Block
from tfxfer.modalities.pictures.networks.preprocessing import Preprocessing


@dataclass(frozen=True)
class Backbone:
    """A headless network, its blocks and what it expects of its input.

    Attributes:
        network: `keras.Model` from preprocessed pictures ``[batch, size, size, 3]`` float32 to a
            feature map ``[batch, h, w, channels]`` or a vector ``[batch, channels]``.
        blocks: its blocks from input to output.
        preprocessing: what it expects of its input.
        size_px: side of its input pictures in pixels.
        notes: what the user should know of where it came from.
    """

    network: keras.Model
    blocks: tuple[Block, ...]
    preprocessing: Preprocessing
    size_px: int
    notes: tuple[str, ...] = ()
