"""Backbones from KerasHub's presets, divided into blocks."""

from __future__ import annotations

import os
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
from tfxfer.machine.network import describe_network
from tfxfer.modality import Modality


def build_keras_hub_backbone(config: BackboneConfig, modality: Modality) -> Backbone:
    """Load a preset, with its preprocessing, and find its blocks.

    Raises:
        InputError: KerasHub is not installed, there is no such preset, its family is not in
            `FAMILIES`, or it takes no items of this size.
    """
    preset = config.name.removeprefix(KERAS_HUB)
    keras_hub = _import_keras_hub()
    original = _load_preset(keras_hub, preset, config)
    kind = type(original).__name__
    families = modality.hub_families()
    if kind not in families:
        raise InputError(
            f"A KerasHub preset must be one of {', '.join(families)}. Received: {preset!r}, which "
            f"is a {kind}. Take another preset."
        )
    spec, preprocessing, notes = modality.fit_preset(original, preset, config)
    network = FlatNetwork(original, spec.shape)
    blocks = _merge_norm(list_blocks(network, families[kind]), network)
    return Backbone(network, blocks, preprocessing, spec, notes)


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
            f"are listed at keras.io/keras_hub/presets. {describe_network()}Without a network, do "
            "one of these: name a folder that holds it (keras_hub.models.Backbone.save_to_preset "
            f"writes one), or fill Kaggle's cache, {cache}/models/keras/…"
        ) from error
    if config.weights not in ("own", "none"):
        load_file(backbone, Path(config.weights))
    return backbone


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
