"""KerasHub's networks, taken apart into layers between which they can be cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras


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


def _run_encoder(encoder: Any, tokens: Any) -> Any:
    tokens = encoder.dropout(tokens)
    for block in encoder.encoder_layers:
        tokens = block(tokens)
    return encoder.layer_norm(tokens)


class _TokensOnly(keras.layers.Layer):
    """A block without its attention scores, which are None and no tensor of a network."""

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
    return tokens, tokens, tokens  # the others, attention scores, go nowhere


def _run_dino_encoder(encoder: Any, tokens: Any) -> Any:
    stages = {}
    for number, block in enumerate(encoder.layers, start=1):
        tokens = block(tokens)
        stages[f"stage{number}"] = tokens
    return tokens, stages


def _run_swin_stage(stage: Any, tokens: Any) -> Any:
    for block in stage.blocks:
        if not block.name.startswith(stage.name):  # they are numbered anew in each stage
            block.name = f"{stage.name}_{block.name}"
        tokens = block(tokens)
    if stage.downsample is None:
        return tokens
    if not stage.downsample.name.startswith(stage.name):
        stage.downsample.name = f"{stage.name}_{stage.downsample.name}"
    height, width = stage.input_resolution
    return stage.downsample(tokens, H=height, W=width)


# A block is one layer, whose name ends in "_", or several.
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


@keras.saving.register_keras_serializable("tfxfer")
class FlatNetwork(keras.Model):
    """The layers of a KerasHub backbone, one after the other, up to its features.

    It is saved as the backbone that it was made of: its inner layers cannot be made from their own
    configs.

    Args:
        backbone: a KerasHub backbone of a family in `FAMILIES`; its layers are shared.
        size_px: side of the input pictures.
    """

    def __init__(self, backbone: keras.Model, size_px: int):
        family = FAMILIES[type(backbone).__name__]

        def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
            if family.take_apart is not None and type(layer).__name__ == family.container:
                return family.take_apart(layer, *arguments)
            return layer(*arguments, **keywords)

        flat = keras.models.clone_model(
            keras.Model(backbone.inputs, backbone.output),
            clone_function=lambda layer: layer,
            call_function=call,
            input_tensors=[keras.Input((size_px, size_px, 3), name="images")],
        )
        features = flat.output
        if family.readout == "token" and getattr(backbone, "use_class_token", True):
            features = features[:, 0]
        elif family.readout != "map":
            features = keras.ops.mean(features, axis=1)
        super().__init__(inputs=flat.inputs, outputs=features, name=backbone.name)
        self._original = {
            "backbone": keras.saving.serialize_keras_object(backbone),
            "size_px": size_px,
        }

    def get_config(self) -> dict[str, Any]:
        return dict(self._original)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> FlatNetwork:
        backbone = keras.saving.deserialize_keras_object(config["backbone"], custom_objects)
        return cls(backbone, config["size_px"])
