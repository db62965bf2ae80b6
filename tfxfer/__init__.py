"""tfxfer: transfer learning for pictures with Keras.

    import tfxfer

    result = tfxfer.train("photos", data="photos/")

The building blocks load TensorFlow when they are first used:

    backbone = tfxfer.build_backbone(tfxfer.BackboneConfig(name="ResNet50", weights="none"))
    [block.name for block in backbone.blocks]
    tfxfer.unfreeze_top(backbone.network, backbone.blocks, unfreeze=3)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfxfer.commands.audit import audit_data
from tfxfer.commands.distill import distill
from tfxfer.commands.doctor import doctor
from tfxfer.commands.evaluate import evaluate
from tfxfer.commands.export import export_run
from tfxfer.commands.predict import predict
from tfxfer.commands.train import plan, train
from tfxfer.commands.tune import tune
from tfxfer.config.backbone import BackboneConfig
from tfxfer.config.config import Config
from tfxfer.config.head import HeadConfig
from tfxfer.config.phases import PhaseConfig
from tfxfer.config.presets import load_config
from tfxfer.errors import InputError

if TYPE_CHECKING:  # what type checkers and editors see of the names in _NEEDS_TENSORFLOW
    from tfxfer.backbones.backbone import Backbone
    from tfxfer.backbones.blocks import Block, list_blocks
    from tfxfer.backbones.build import build_backbone
    from tfxfer.backbones.hub_layer import HubModule, load_hub_module
    from tfxfer.backbones.whole import build_model
    from tfxfer.modalities.pictures.networks.hub_module import export_hub_module
    from tfxfer.phases.unfreeze import unfreeze_top
    from tfxfer.prediction.run_model import load_model
    from tfxfer.tasks.heads import build_head

__version__ = "0.1.0"

# Public names that load TensorFlow when they are first used, and where they live.
_NEEDS_TENSORFLOW = {
    "Backbone": "tfxfer.backbones.backbone",
    "Block": "tfxfer.backbones.blocks",
    "HubModule": "tfxfer.backbones.hub_layer",
    "build_backbone": "tfxfer.backbones.build",
    "build_head": "tfxfer.tasks.heads",
    "build_model": "tfxfer.backbones.whole",
    "export_hub_module": "tfxfer.modalities.pictures.networks.hub_module",
    "list_blocks": "tfxfer.backbones.blocks",
    "load_hub_module": "tfxfer.backbones.hub_layer",
    "load_model": "tfxfer.prediction.run_model",
    "unfreeze_top": "tfxfer.phases.unfreeze",
}

__all__ = [
    "Backbone",
    "BackboneConfig",
    "Block",
    "Config",
    "HeadConfig",
    "HubModule",
    "InputError",
    "PhaseConfig",
    "audit_data",
    "build_backbone",
    "build_head",
    "build_model",
    "distill",
    "doctor",
    "evaluate",
    "export_hub_module",
    "export_run",
    "list_blocks",
    "load_config",
    "load_hub_module",
    "load_model",
    "plan",
    "predict",
    "train",
    "tune",
    "unfreeze_top",
]


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_TENSORFLOW:
        raise AttributeError(f"module 'tfxfer' has no attribute {name!r}")
    return getattr(importlib.import_module(_NEEDS_TENSORFLOW[name]), name)
