"""Build a backbone with its preprocessing, so that it takes pictures as they are: 0…255 RGB."""

from __future__ import annotations

from tfxfer.backbones.backbone import Backbone
from tfxfer.config.backbone import HUB, KERAS_HUB, BackboneConfig
from tfxfer.errors import InputError
from tfxfer.modalities.pictures.networks.applications import (
    build_imagenet,
    build_network,
    load_weights,
    wrap_network,
)
from tfxfer.modalities.pictures.networks.families import find_family


def build_backbone(config: BackboneConfig) -> Backbone:
    """Build the network that a config names, with its weights loaded.

    Raises:
        InputError: unknown network, size or width that it does not take, weights that cannot be
            had or that belong to another network.
    """
    for prefix, build in _BUILDERS.items():
        if config.name.startswith(prefix):
            return build(config)
    family = find_family(config.name)
    size_px = config.image_size_px or family.sizes_px[config.name]
    if size_px < family.min_size_px:
        raise InputError(
            f"image_size_px must be at least {family.min_size_px} for {config.name}. "
            f"Received: image_size_px={size_px}."
        )
    if config.weights == "imagenet":
        network = build_imagenet(config, size_px)
    else:
        network = build_network(config.name, size_px, config.alpha)
        load_weights(network, config.weights)
    return wrap_network(network, family, size_px)


def _build_hub(config: BackboneConfig) -> Backbone:
    from tfxfer.backbones.hub import build_hub_backbone

    return build_hub_backbone(config)


def _build_keras_hub(config: BackboneConfig) -> Backbone:
    from tfxfer.backbones.keras_hub import build_keras_hub_backbone

    return build_keras_hub_backbone(config)


# What names with a prefix stand for; both are imported when they are asked for.
_BUILDERS = {HUB: _build_hub, KERAS_HUB: _build_keras_hub}
