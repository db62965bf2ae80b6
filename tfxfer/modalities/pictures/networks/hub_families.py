"""KerasHub's families of networks for pictures: one row for each family."""

from __future__ import annotations

from typing import Any

import keras

from tfxfer.backbones.hub_family import KerasHubFamily


def _run_encoder(encoder: Any, tokens: Any) -> Any:
    tokens = encoder.dropout(tokens)
    for block in encoder.encoder_layers:
        tokens = block(tokens)
    return encoder.layer_norm(tokens)


class _TokensOnly(keras.layers.Layer):
    """A block without its attention scores, which are None and so cannot be part of a network."""

    def __init__(self, block: keras.layers.Layer):
        super().__init__(name=block.name)
        self.block = block
        self.built = True

    def call(self, tokens: Any) -> Any:
        return self.block(tokens)[0]


def _run_deit_encoder(encoder: Any, tokens: Any) -> Any:
    for block in encoder.encoder_layers:
        tokens = _TokensOnly(block)(tokens)
    tokens = encoder.layer_norm(tokens)
    return tokens, tokens, tokens  # The last two stand for attention scores, which nobody reads.


def _run_dino_encoder(encoder: Any, tokens: Any) -> Any:
    stages = {}
    for number, block in enumerate(encoder.layers, start=1):
        tokens = block(tokens)
        stages[f"stage{number}"] = tokens
    return tokens, stages


def _run_swin_stage(stage: Any, tokens: Any) -> Any:
    for block in stage.blocks:
        if not block.name.startswith(stage.name):  # Each stage numbers its blocks from 0.
            block.name = f"{stage.name}_{block.name}"
        tokens = block(tokens)
    if stage.downsample is None:
        return tokens
    if not stage.downsample.name.startswith(stage.name):
        stage.downsample.name = f"{stage.name}_{stage.downsample.name}"
    height, width = stage.input_resolution
    return stage.downsample(tokens, H=height, W=width)


# A block is either a single layer, whose name ends in "_", or a group of layers.
_MBCONV = (
    r"(?P<name>block\d[a-z])_(add|project_bn|projection_activation)?$|(?P<top>top)_activation$"
)


FAMILIES = {
    family.name: family
    for family in (
        KerasHubFamily(
            "ViTBackbone",
            r"(?P<name>transformer_block_\d+)$|(?P<top>ln)$",
            "ViTEncoder",
            _run_encoder,
            "token",
        ),
        KerasHubFamily(
            "DeiTBackbone",
            r"(?P<name>transformer_block_\d+)$|(?P<top>ln)$",
            "DeiTEncoder",
            _run_deit_encoder,
            "token",
        ),
        KerasHubFamily(
            "DINOV2Backbone",
            r"(?P<name>layers_\d+)$|(\w+_)?(?P<top>layernorm)$",
            "DINOV2Encoder",
            _run_dino_encoder,
            "token",
        ),
        KerasHubFamily(
            "SwinTransformerBackbone",
            r"(?P<name>stage_\d+_blocks_\d+)$|(?P<top>norm)$",
            "SwinTransformerStage",
            _run_swin_stage,
            "mean",
        ),
        KerasHubFamily("ResNetBackbone", r"(?P<name>stack\d+_block\d+)_out$|(?P<top>post)_relu$"),
        KerasHubFamily("EfficientNetBackbone", _MBCONV),
        KerasHubFamily("VGGBackbone", r"(?P<name>block\d+)_pool$"),
        KerasHubFamily(
            "DenseNetBackbone",
            r"(?P<name>stack\d+_block\d+)_concat$|(?P<pool>transition\d+)_pool$|(?P<top>relu)$",
        ),
        KerasHubFamily("MobileNetBackbone", r"(?P<name>block_\d+_\d+)$"),
    )
}
