"""What it takes to compute features of a small network in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from tfxfer.backbones.backbone import Backbone
from tfxfer.config.features import FeaturesConfig
from tfxfer.features.run import FeatureRun, make_feature_run
from tfxfer.kinds import MODALITIES
from tfxfer.machine.processes import ALONE
from tfxfer.modalities.pictures.settings import AugmentationConfig
from tfxfer.modality import Modality
from tfxfer.task import Head


def small_run(
    backbone: Backbone,
    head: Head,
    cache: Path,
    *,
    modality: Modality = MODALITIES["pictures"],
    augmentation: AugmentationConfig | None = None,
    seed: int = 0,
    source: str = "",
    **config: Any,
) -> FeatureRun:
    """Make a run of one process that says nothing; TensorFlow is its engine unless told otherwise.

    Args:
        cache: where it stores.
        config: keys of `FeaturesConfig`.
    """
    return make_feature_run(
        backbone,
        head,
        config=FeaturesConfig(**{"engine": "tensorflow", "cache_dir": str(cache), **config}),
        modality=modality,
        augmentation=augmentation or AugmentationConfig(),
        seed=seed,
        console=Console(quiet=True),
        share=ALONE,
        source=source,
    )
