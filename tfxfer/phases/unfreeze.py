"""The freezing of a backbone except its top blocks."""

from __future__ import annotations

import math

import keras

from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.blocks import Block, resolve_unfreeze
from tfxfer.backbones.hub_layer import HubModule
from tfxfer.config.phases import ResolvedPhase

# Keras Applications keep up to 0.999 of the moving statistics at each step, which suits ImageNet's
# hundreds of thousands of steps. A phase has hundreds of steps, and its statistics would lag.
_MOMENTUM = 0.9


def unfreeze_top(
    backbone: keras.Model,
    blocks: tuple[Block, ...],
    unfreeze: int | str,
    batch_norm: str = "frozen",
) -> tuple[Block, ...]:
    """Make the top blocks trainable and freeze everything below them.

    The model has to be compiled again afterwards, because Keras reads the flags when it compiles.

    Args:
        backbone: The network, whose layers' `trainable` flags are set.
        blocks: Its blocks from input to output.
        unfreeze: A number of blocks from the top, ``"all"`` or a block's name.
        batch_norm: ``"frozen"`` does not change the weights and moving statistics of any
            BatchNormalization layer; ``"train"`` trains those of the unfrozen blocks.

    Returns:
        The unfrozen blocks, from input to output.

    Raises:
        InputError: `unfreeze` does not fit the backbone.

    Example:
        >>> import tfxfer
        >>> config = tfxfer.BackboneConfig(name="MobileNetV2", weights="none", alpha=0.35)
        >>> backbone = tfxfer.build_backbone(config)
        >>> unfrozen = tfxfer.unfreeze_top(backbone.network, backbone.blocks, unfreeze=2)
        >>> [block.name for block in unfrozen]
        ['block_16', 'out']
    """
    return _unfreeze(backbone, blocks, resolve_unfreeze(unfreeze, blocks), batch_norm)


def unfreeze_for(phase: ResolvedPhase, backbone: Backbone) -> tuple[Block, ...]:
    """Make the blocks trainable that a phase trains, and freeze those below them.

    The phase was resolved against the blocks, so that its number of blocks is taken as it is.
    """
    return _unfreeze(backbone.network, backbone.blocks, phase.unfreeze, phase.batch_norm)


def _unfreeze(
    backbone: keras.Model, blocks: tuple[Block, ...], count: int, batch_norm: str
) -> tuple[Block, ...]:
    """Make a number of blocks from the top trainable; return them, from input to output."""
    unfrozen = blocks[len(blocks) - count :]
    names = {layer for block in unfrozen for layer in block.layers}
    # The container's flag overwrites those of its layers, so it is set first.
    backbone.trainable = True
    for layer in backbone.layers:
        layer.trainable = layer.name in names
        # KerasHub's blocks are layers that hold other layers.
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
    """Count the elements of some weights, such as the `trainable_weights` of the *outer* model."""
    return sum(math.prod(weight.shape) for weight in weights)
