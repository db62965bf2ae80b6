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
from typing import Any

from tfxfer.config import BackboneConfig, Config, HeadConfig, PhaseConfig
from tfxfer.errors import InputError
from tfxfer.presets import load_config

__version__ = "0.1.0"

# Public names that need TensorFlow, or a module of their own name, and where they live.
_LAZY = {
    "train": "tfxfer.train",
    "plan": "tfxfer.train",
    "tune": "tfxfer.tune",
    "evaluate": "tfxfer.evaluate",
    "predict": "tfxfer.predict",
    "audit_data": "tfxfer.audit",
    "build_backbone": "tfxfer.backbones.build",
    "Backbone": "tfxfer.backbones.backbone",
    "list_blocks": "tfxfer.backbones.blocks",
    "Block": "tfxfer.backbones.blocks",
    "load_hub_module": "tfxfer.backbones.hub_layer",
    "HubModule": "tfxfer.backbones.hub_layer",
    "export_hub_module": "tfxfer.export.hub_module",
    "load_model": "tfxfer.saved",
    "build_head": "tfxfer.heads",
    "build_model": "tfxfer.heads",
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
    "evaluate",
    "export_hub_module",
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
    if name not in _LAZY:
        raise AttributeError(f"module 'tfxfer' has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name])
    # `tfxfer.train` is its module, which can be called: see tfxfer/train.py.
    return module if name in ("train", "tune", "evaluate", "predict") else getattr(module, name)
