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

from tfxfer.config.backbone import BackboneConfig
from tfxfer.config.config import Config
from tfxfer.config.head import HeadConfig
from tfxfer.config.phases import PhaseConfig
from tfxfer.config.presets import load_config
from tfxfer.errors import InputError

__version__ = "0.1.0"

# Public names that need TensorFlow, or a module of their own name, and where they live.
_LAZY = {
    "train": "tfxfer.train",
    "plan": "tfxfer.train",
    "tune": "tfxfer.tune",
    "distill": "tfxfer.distill",
    "predict": "tfxfer.predict",
    "evaluate": "tfxfer.evaluate",
    "audit_data": "tfxfer.audit",
    "export_run": "tfxfer.export_run",
    "doctor": "tfxfer.doctor",
    "build_backbone": "tfxfer.backbones.build",
    "Backbone": "tfxfer.backbones.backbone",
    "list_blocks": "tfxfer.backbones.blocks",
    "Block": "tfxfer.backbones.blocks",
    "load_hub_module": "tfxfer.backbones.hub_layer",
    "HubModule": "tfxfer.backbones.hub_layer",
    "export_hub_module": "tfxfer.modalities.pictures.networks.hub_module",
    "load_model": "tfxfer.prediction.run_model",
    "build_head": "tfxfer.tasks.heads",
    "build_model": "tfxfer.tasks.heads",
    "unfreeze_top": "tfxfer.phases.unfreeze",
}

# Modules that can be called themselves: see `callable_module.py`.
_CALLABLE = ("train", "tune", "distill", "predict", "evaluate", "export_run", "doctor")

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
    if name not in _LAZY:
        raise AttributeError(f"module 'tfxfer' has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name])
    return module if name in _CALLABLE else getattr(module, name)
