"""Build a backbone with its preprocessing, so that it takes items as they are decoded."""

from __future__ import annotations

from tfxfer.backbones.backbone import Backbone
from tfxfer.config.backbone import HUB, KERAS_HUB, BackboneConfig
from tfxfer.kinds import MODALITIES
from tfxfer.machine.keras_settings import float32_policy
from tfxfer.modality import Modality


@float32_policy()
def build_backbone(config: BackboneConfig, modality: Modality = MODALITIES["pictures"]) -> Backbone:
    """Build the network that a config names, with its weights loaded.

    Args:
        config: The name of the network, its weights, width and size.
        modality: What the network's items are.

    Returns:
        The backbone, which takes batches of items as they are decoded.

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
    # Both rooms are imported when a name asks for them.
    if config.name.startswith(HUB):
        from tfxfer.backbones.hub import build_hub_backbone

        return build_hub_backbone(config, modality)
    if config.name.startswith(KERAS_HUB):
        from tfxfer.backbones.keras_hub import build_keras_hub_backbone

        return build_keras_hub_backbone(config, modality)
    return modality.build_network(config)
