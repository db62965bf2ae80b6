"""The preparation of a phase: it freezes and unfreezes layers, and makes the model that trains."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfxfer.backbones.blocks import Block
from tfxfer.backbones.whole import build_model
from tfxfer.features.cut import build_suffix
from tfxfer.phases.optimizers import LayerwiseAdamW
from tfxfer.phases.parts import PhaseParts
from tfxfer.phases.schedules import layerwise_factors, warmup_cosine
from tfxfer.phases.unfreeze import unfreeze_for


def prepare_phase(parts: PhaseParts, *, steps: int, precision: str = "float32") -> keras.Model:
    """Freeze and unfreeze layers, join those that train, and compile the model for the phase.

    Args:
        steps: The number of optimizer steps of the phase.
        precision: The precision that the model is built in, as in `in_precision`. In mixed_float16,
            the loss is scaled, so that gradients do not vanish.

    Returns:
        The compiled model, whose optimizer is built.
    """
    unfreeze_for(parts.phase, parts.backbone)
    model = build_trained(parts)
    model.compile(
        optimizer=_make_optimizer(parts, steps, precision),
        loss=parts.objective.make_loss(parts.phase.label_smoothing),
        metrics=parts.objective.make_metrics(),
        # Keras asks for the policy of the model itself; here each layer has its own.
        auto_scale_loss=False,
    )
    # Otherwise, the first step would make its variables, and TensorFlow would trace it again.
    model.optimizer.build(model.trainable_variables)
    return model


def build_trained(parts: PhaseParts) -> keras.Model:
    """Join the layers that a phase trains: the whole network, or what lies above the cut."""
    backbone, head = parts.backbone, parts.head
    if len(parts.unfrozen) == len(backbone.blocks):
        return build_model(backbone, head, parts.trains_batch_norm or backbone.keeps_dropout)
    return build_suffix(backbone, head, parts.cut, parts.trains_batch_norm)


def _make_optimizer(parts: PhaseParts, steps: int, precision: str) -> keras.optimizers.Optimizer:
    phase, network = parts.phase, parts.backbone.network
    depths = {
        weight.path: depth
        for depth, block in enumerate(reversed(parts.unfrozen), start=1)
        for layer in block.layers
        for weight in network.get_layer(layer).trainable_weights
    }
    optimizer = LayerwiseAdamW(
        warmup_cosine(phase.learning_rate, steps, phase.warmup),
        factors=layerwise_factors(depths, phase.layer_decay),
        decay=phase.weight_decay,
        clip_norm=phase.clip_norm,
    )
    if precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def layers_of(network: keras.Model, blocks: Sequence[Block]) -> list[keras.layers.Layer]:
    """Return all layers of some blocks, also those without weights and those inside other ones."""
    names = {name for block in blocks for name in block.operations}
    return [
        inner
        for layer in network.layers
        if layer.name in names and not isinstance(layer, keras.layers.InputLayer)
        for inner in layer._flatten_layers()
    ]
