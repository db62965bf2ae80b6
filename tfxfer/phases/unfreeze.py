"""Freeze a backbone but for its top blocks."""

from __future__ import annotations

import math

import keras

from tfxfer.backbones.blocks import Block, resolve_unfreeze
from tfxfer.backbones.hub_layer import HubModule

# Keras Applications keep up to 0.999 of the moving statistics at each step, made for ImageNet's
# hundreds of thousands of steps; a phase has hundreds, and its statistics would lag behind.
_MOMENTUM = 0.9


def unfreeze_top(
    backbone: keras.Model,
    blocks: tuple[Block, ...],
    unfreeze: int | str,
    batch_norm: str = "frozen",
) -> tuple[Block, ...]:
    """Make the top blocks trainable and everything below them frozen.

    Compile the model anew afterwards: Keras reads the flags when it compiles.

    Args:
        backbone: the network; its layers' `trainable` flags are set.
        blocks: its blocks from input to output.
        unfreeze: a number of blocks from the top, ``"all"`` or a block's name.
        batch_norm: ``"frozen"`` keeps every BatchNormalization layer's weights and moving
            statistics as they are; ``"train"`` trains those of the unfrozen blocks.

    Returns:
        The unfrozen blocks, from input to output.

    Raises:
        InputError: `unfreeze` does not fit the backbone.
    """
    count = resolve_unfreeze(unfreeze, blocks)
    unfrozen = blocks[len(blocks) - count :]
    names = {layer for block in unfrozen for layer in block.layers}
    # The container's flag overwrites its layers', so it comes first.
    backbone.trainable = True
    for layer in backbone.layers:
        layer.trainable = layer.name in names
        # KerasHub's blocks are layers that hold others.
        for inner in layer._flatten_layers():
            if isinstance(inner, HubModule):
                inner.follows_mode = batch_norm == "train"
            if layer.trainable and isinstance(inner, keras.layers.BatchNormalization):
                # `training=False` alone does not protect moving statistics (Keras 3.15.1); the
                # flag does.
                inner.trainable = batch_norm == "train"
                inner.momentum = min(inner.momentum, _MOMENTUM)
    return unfrozen


def count_parameters(weights: list[keras.Variable]) -> int:
    """Number of elements of some weights; count `trainable_weights` of the *outer* model."""
    return sum(math.prod(weight.shape) for weight in weights)
