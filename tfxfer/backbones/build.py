"""The building of a backbone with its preprocessing, so that it takes plain RGB pictures, 0…255."""

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

    Args:
        config: The name of the network, its weights, width and size.

    Returns:
        The backbone, which takes ``[batch, size, size, 3]`` float32, RGB, 0…255, before its
        preprocessing.

    Raises:
        InputError: The network is unknown or does not take this size or width, or its weights
            cannot be loaded.

    Example:
        >>> import tfxfer
        >>> config = tfxfer.BackboneConfig(name="ResNet50", weights="none", image_size_px=64)
        >>> backbone = tfxfer.build_backbone(config)
        >>> [block.name for block in backbone.blocks][-2:]
        ['conv5_block2', 'conv5_block3']
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


# Names with these prefixes have their own builders, which are imported only when they are used.
_BUILDERS = {HUB: _build_hub, KERAS_HUB: _build_keras_hub}
