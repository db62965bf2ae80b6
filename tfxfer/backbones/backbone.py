"""A pretrained network without its top, ready to be frozen and unfrozen block by block."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from tfxfer.backbones.blocks import Block
from tfxfer.modality import InputSpec, Preprocessing


@dataclass(frozen=True)
class Backbone:
    """A headless network, its blocks and its preprocessing.

    Attributes:
        network: A `keras.Model` from a preprocessed batch of items to a feature map ``[batch,
            height, width, channels]`` or a vector ``[batch, channels]``.
        blocks: Its blocks from input to output.
        preprocessing: The preprocessing that it expects.
        input: The array that it takes for one item, before the preprocessing.
        notes: What the user should know about its origin.
        keeps_dropout: Whether unfrozen blocks are called in the mode of the model around them, so
            that they drop units out in training, as networks of LayerNormalization should. Without
            it, they are called in inference mode. But Keras 3.15.1 lets the mode of the outer
            model prevail, and they drop units out all the same.

    Example:
        >>> import tfxfer
        >>> config = tfxfer.BackboneConfig(name="MobileNetV2", weights="none", alpha=0.35)
        >>> backbone = tfxfer.build_backbone(config)
        >>> len(backbone.blocks), backbone.network.output.shape
        (18, (None, 7, 7, 1280))
    """

    network: keras.Model
    blocks: tuple[Block, ...]
    preprocessing: Preprocessing
    input: InputSpec
    notes: tuple[str, ...] = ()
    keeps_dropout: bool = False

    def start(self) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Return a new symbolic input of a model, and the same input after the preprocessing."""
        inputs = keras.Input(self.input.shape, name=self.input.name, dtype=self.input.dtype)
        return inputs, self.preprocessing.apply(inputs)
