"""The whole model, which a backbone and a head make together: items in, probabilities out."""

from __future__ import annotations

import keras

from tfxfer.backbones.backbone import Backbone
from tfxfer.machine.keras_settings import float32_policy
from tfxfer.task import Head

# A head begins by one of these layers, whatever its kind (`tasks/heads.py`),
_FIRST_LAYERS = ("head_dropout", "head_bn_1")
# and ends by this one.
_LAST_LAYER = "probabilities"


def add_embeddings(model: keras.Model) -> keras.Model:
    """Return a model over the same layers that also gives what the head reads of an item.

    Args:
        model: as `build_model` makes it, or loaded from its file.

    Returns:
        From items to a list of probabilities ``[batch, classes]`` and embeddings ``[batch,
        channels]``, float32; these are the pooled features, before dropout and hidden layers.
    """
    # The layers belong to several models and so have several inputs; the loop follows this model's.
    tensor, layer_name = model.output, ""
    while layer_name not in _FIRST_LAYERS:
        layer, node, _ = tensor._keras_history
        tensor, layer_name = layer._inbound_nodes[node].input_tensors[0], layer.name
    return keras.Model(model.input, [model.output, tensor], name=model.name)


@float32_policy()
def build_model(backbone: Backbone, head: Head, trains_batch_norm: bool = False) -> keras.Model:
    """Join a backbone and a head to a model over their weights.

    Args:
        backbone: The backbone, which runs in inference mode unless `trains_batch_norm`.
        head: The head, which runs in the mode of the model's call.
        trains_batch_norm: Whether the mode reaches the backbone, so that unfrozen
            BatchNormalization layers use and update the statistics of their batches.

    Returns:
        A model from items ``[batch, size, size, 3]`` float32, RGB, 0…255, to probabilities
        ``[batch, classes]`` float32, 0…1.

    Example:
        >>> import tfxfer
        >>> config = tfxfer.BackboneConfig(name="MobileNetV2", weights="none", alpha=0.35)
        >>> backbone = tfxfer.build_backbone(config)
        >>> head = tfxfer.build_head(tfxfer.HeadConfig(), 3, seed=0)
        >>> tfxfer.build_model(backbone, head).output_shape
        (None, 3)
    """
    items, preprocessed = backbone.start()
    mode = {} if trains_batch_norm else {"training": False}
    features = backbone.network(preprocessed, **mode)
    return keras.Model(
        items, head.classify(head.pool(features)), name=f"tfxfer_{backbone.network.name}"
    )


def fold_temperature(model: keras.Model, temperature: float) -> None:
    """Divide the last layer's weights, so that the model gives calibrated probabilities."""
    layer = model.get_layer(_LAST_LAYER)
    layer.set_weights([weight / temperature for weight in layer.get_weights()])
