"""Backbones from KerasHub's presets, divided into blocks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.blocks import Block, list_blocks
from tfxfer.backbones.flat_network import FlatNetwork
from tfxfer.backbones.weights import load_file
from tfxfer.config.backbone import KERAS_HUB, BackboneConfig, is_keras_hub_preset
from tfxfer.errors import InputError, first_line
from tfxfer.modalities.pictures.networks.hub_families import FAMILIES
from tfxfer.modalities.pictures.networks.preprocessing import PREPROCESSINGS, Preprocessing
from tfxfer.modalities.pictures.settings import input_spec

_DEFAULT_SIZE_PX = 224


def build_keras_hub_backbone(config: BackboneConfig) -> Backbone:
    """Load a preset with its preprocessing, and find its blocks.

    Raises:
        InputError: KerasHub is not installed, there is no such preset, its family is not in
            `FAMILIES`, or it takes no pictures of this size.
    """
    preset = config.name.removeprefix(KERAS_HUB)
    keras_hub = _import_keras_hub()
    original = _load_preset(keras_hub, preset, config)
    kind = type(original).__name__
    if kind not in FAMILIES:
        raise InputError(
            f"A KerasHub preset must be one of {', '.join(FAMILIES)}. Received: {preset!r}, which "
            f"is a {kind}. Take another preset."
        )
    family = FAMILIES[kind]
    converter, notes = _load_converter(keras_hub, preset)
    size_px = _choose_size(original, converter, config)
    network = FlatNetwork(original, size_px)
    blocks = _merge_norm(list_blocks(network, family), network)
    return Backbone(
        network, blocks, _describe_converter(converter), input_spec(size_px), tuple(notes)
    )


def _import_keras_hub() -> ModuleType:
    try:
        import keras_hub
    except ImportError as error:
        raise InputError(
            "KerasHub backbones need the package keras-hub. Received: an environment without it "
            f"({first_line(error)}). Install it: pip install 'tfxfer[keras-hub]'"
        ) from error
    return keras_hub


def _load_preset(keras_hub: ModuleType, preset: str, config: BackboneConfig) -> Any:
    if not is_keras_hub_preset(preset) and not (Path(preset) / "config.json").is_file():
        raise InputError(
            "A KerasHub preset must be a name (vit_base_patch16_224_imagenet), an address "
            "(kaggle://…, hf://…) or a folder that holds config.json. Received: "
            f"{preset!r}, which is no such folder. Check the path."
        )
    try:
        backbone = keras_hub.models.Backbone.from_preset(
            preset, load_weights=config.weights == "own"
        )
    except Exception as error:  # The hubs' clients and Keras raise errors of many types.
        cache = os.environ.get("KAGGLEHUB_CACHE") or "~/.cache/kagglehub"
        raise InputError(
            f"The KerasHub preset {preset!r} could not be loaded ({first_line(error)}). Its names "
            f"are listed at keras.io/keras_hub/presets. Without a network, do one of these: name "
            f"a folder that holds it (keras_hub.models.Backbone.save_to_preset writes one), or "
            f"fill Kaggle's cache, {cache}/models/keras/…"
        ) from error
    if config.weights not in ("own", "none"):
        load_file(backbone, Path(config.weights))
    return backbone


def _load_converter(keras_hub: ModuleType, preset: str) -> tuple[Any, list[str]]:
    try:
        return keras_hub.layers.ImageConverter.from_preset(preset), []
    except Exception:  # The preset holds only a backbone; an unreadable one has failed earlier.
        return None, [f"the preset {preset} does not say what pictures it expects; it is given 0…1"]


def _describe_converter(converter: Any) -> Preprocessing:
    if converter is None:
        return PREPROCESSINGS["unit"]
    return Preprocessing(
        "as the preset says",
        _numbers(converter.scale, 1.0),
        _numbers(converter.offset, 0.0),
    )


def _numbers(value: Any, default: float) -> tuple[float, ...]:
    if value is None:
        return (default,)
    return tuple(map(float, value)) if isinstance(value, Sequence) else (float(value),)


def _choose_size(backbone: Any, converter: Any, config: BackboneConfig) -> int:
    height, width, *_ = backbone.inputs[0].shape[1:]
    if height != width:
        raise InputError(
            f"A backbone must take square pictures. Received: {config.name!r}, which takes "
            f"{height} × {width}. Take another preset."
        )
    if height is not None and config.image_size_px not in (None, height):
        raise InputError(
            f"image_size_px must be {height} for {config.name!r}, whose patches have places of "
            f"their own. Received: image_size_px={config.image_size_px}. Leave it out, or take a "
            "preset of another size."
        )
    suggested = converter.image_size[0] if converter is not None and converter.image_size else None
    return int(height or config.image_size_px or suggested or _DEFAULT_SIZE_PX)


def _merge_norm(blocks: tuple[Block, ...], network: keras.Model) -> tuple[Block, ...]:
    """Add the last normalisation to the last block, because it is no useful block by itself."""
    if len(blocks) < 2:
        return blocks
    *others, before, last = blocks
    kinds = (keras.layers.LayerNormalization, keras.layers.BatchNormalization)
    if not all(isinstance(network.get_layer(name), kinds) for name in last.layers):
        return blocks
    merged = replace(
        before,
        layers=before.layers + last.layers,
        parameters=before.parameters + last.parameters,
        operations=before.operations | last.operations,
        end=last.end,
    )
    return (*others, merged)
