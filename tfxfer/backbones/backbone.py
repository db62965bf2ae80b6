"""A pretrained network without its top, ready to be frozen and unfrozen block by block."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from tfxfer.backbones.blocks import Block
from tfxfer.modality import InputSpec, Preprocessing


@dataclass(frozen=True)
class Backbone:
    """A headless network, its blocks and what it expects of its input.

    Attributes:
        network: `keras.Model` from a preprocessed batch of items to a feature map ``[batch, h, w,
            channels]`` or a vector ``[batch, channels]``.
        blocks: its blocks from input to output.
        preprocessing: what it expects of its input.
        input: the array that it takes of one item, before the preprocessing.
        notes: what the user should know of where it came from.
    """

    network: keras.Model
    blocks: tuple[Block, ...]
    preprocessing: Preprocessing
    input: InputSpec
    notes: tuple[str, ...] = ()

    def start(self) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Return a new symbolic input of a model, and what the network takes of it."""
        inputs = keras.Input(self.input.shape, name=self.input.name, dtype=self.input.dtype)
        return inputs, self.preprocessing.apply(inputs)
