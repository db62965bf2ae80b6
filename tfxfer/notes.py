"""What a user should know before a run starts. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

from tfxfer.config.config import Config
from tfxfer.config.phases import ResolvedPhase


def list_notes(config: Config, phases: Sequence[ResolvedPhase]) -> list[str]:
    """Say what a config asks for that makes no difference, or makes a poor model.

    Args:
        phases: the config's, with nothing left to the number of pictures.
    """
    return [*_warn_of_weights(config), *_explain_views(config, phases)]


def _warn_of_weights(config: Config) -> list[str]:
    warnings = []
    is_embedded_data = str(config.data.source).startswith("embedded:")
    if config.backbone.weights == "embedded" and not is_embedded_data:
        warnings.append(
            "the embedded weights were trained on drawn birds and know nothing of photographs; "
            "expect a poor model. Use --backbone EfficientNetV2B0 (ImageNet weights) instead"
        )
    if config.backbone.weights == "none":
        warnings.append("no pretrained weights: every phase trains the whole network")
    return warnings


def _explain_views(config: Config, phases: Sequence[ResolvedPhase]) -> list[str]:
    """Say where what was asked for makes no difference."""
    notes = []
    for asked, phase in zip(config.phases, phases, strict=True):
        augmentation = config.augmentation.under(phase.augmentation)
        is_changed = augmentation.policy not in ("none", "standard") or augmentation.erasing
        name = f"phase {phase.name!r}"
        if isinstance(asked.views, int) and asked.views != phase.views:
            notes.append(f"{name}: without augmentation all views are one, and one is stored")
        elif is_changed and phase.views == 1 and phase.unfreeze not in (0, "all"):
            notes.append(
                f"{name} stores one view, the picture as it is: policy {augmentation.policy!r} is "
                f"not seen (--set phases.{phase.name}.views=2 or more, or stream)"
            )
    return notes
