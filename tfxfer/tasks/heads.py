"""The head of a network, and the model from pictures to probabilities that both make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from tfxfer.backbones.backbone import Backbone
from tfxfer.config.head import HeadConfig
from tfxfer.errors import InputError

# The head casts its inputs to float32 and computes in float32, whatever the layers below use: a
# float16 softmax loses small probabilities, and the head costs almost nothing.
DTYPE = "float32"


def linear_layers(config: HeadConfig) -> list[keras.layers.Layer]:
    """Return only dropout, which comes before the class probabilities."""
    return [keras.layers.Dropout(config.dropout, dtype=DTYPE, name="head_dropout")]


def mlp_layers(config: HeadConfig) -> list[keras.layers.Layer]:
    """Return a hidden layer with BatchNormalization and dropout around it, as in fastai's heads."""
    return [
        keras.layers.BatchNormalization(momentum=0.9, dtype=DTYPE, name="head_bn_1"),
        keras.layers.Dropout(config.dropout / 2, dtype=DTYPE, name="head_dropout_1"),
        keras.layers.Dense(config.hidden_units, activation="relu", dtype=DTYPE, name="head_hidden"),
        keras.layers.BatchNormalization(momentum=0.9, dtype=DTYPE, name="head_bn_2"),
        keras.layers.Dropout(config.dropout, dtype=DTYPE, name="head_dropout_2"),
    ]


HEADS: dict[str, Callable[[HeadConfig], list[keras.layers.Layer]]] = {
    "linear": linear_layers,
    "mlp": mlp_layers,
}

# A head of any kind begins with one of these layers.
_FIRST_LAYERS = ("head_dropout", "head_bn_1")

_POOLINGS = {
    "avg": (keras.layers.GlobalAveragePooling2D,),
    "max": (keras.layers.GlobalMaxPooling2D,),
    "avg_max": (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D),
}


@dataclass(frozen=True)
class Head:
    """The head's layers, which are made once, so that every model of a run shares their weights."""

    poolings: tuple[keras.layers.Layer, ...]
    layers: tuple[keras.layers.Layer, ...]

    def count_pooled(self, shape: tuple[Any, ...]) -> int:
        """Return number of channels that `pool` gives for features of a shape, the batch included.

        Raises:
            InputError: the features are a vector, and are to be pooled in several ways.
        """
        kinds = [type(pooling).__name__ for pooling in self.poolings]
        if len(shape) == 2 and kinds != ["GlobalAveragePooling2D"]:
            raise InputError(
                "This backbone gives features that are pooled already: head.pooling must be 'avg', "
                f"which leaves them as they are. Received: {', '.join(kinds)}. "
                "Use --set head.pooling=avg"
            )
        return len(self.poolings) * shape[-1]

    def pool(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """Map features ``[batch, height, width, channels]`` to a vector ``[batch, channels]``.

        Features that are a vector already are not changed.
        """
        if len(features.shape) == 2:
            return features
        pooled = [pooling(features) for pooling in self.poolings]
        return pooled[0] if len(pooled) == 1 else keras.ops.concatenate(pooled, axis=-1)

    def classify(self, pooled: keras.KerasTensor) -> keras.KerasTensor:
        """Map pooled features ``[batch, channels]`` to probabilities ``[batch, classes]``."""
        for layer in self.layers:
            pooled = layer(pooled)
        return pooled


def build_head(config: HeadConfig, class_count: int, seed: int, has_several: bool = False) -> Head:
    """Make the head's layers, which compute in float32 whatever the precision policy.

    Args:
        config: The settings of the head.
        class_count: The number of classes.
        seed: The seed of its initial weights.
        has_several: Whether pictures may have several labels, or none. Probabilities are then
            independent of each other (sigmoid); otherwise they sum to 1 (softmax).

    Example:
        >>> import tfxfer
        >>> head = tfxfer.build_head(tfxfer.HeadConfig(kind="mlp"), 3, seed=0)
        >>> [layer.name for layer in head.layers][-1]
        'probabilities'
    """
    probabilities = keras.layers.Dense(
        class_count,
        activation="sigmoid" if has_several else "softmax",
        dtype=DTYPE,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        name="probabilities",
    )
    kinds = _POOLINGS[config.pooling]
    poolings = tuple(make(dtype=DTYPE, name=f"pool_{i}") for i, make in enumerate(kinds))
    return Head(poolings, (*HEADS[config.kind](config), probabilities))


def add_embeddings(model: keras.Model) -> keras.Model:
    """Return a model over the same layers that also gives what the head reads of a picture.

    Args:
        model: as `build_model` makes it, or loaded from its file.

    Returns:
        From pictures to a list of probabilities ``[batch, classes]`` and embeddings ``[batch,
        channels]``, float32; these are the pooled features, before dropout and hidden layers.
    """
    # The layers belong to several models and so have several inputs; the loop follows this model's.
    tensor, layer_name = model.output, ""
    while layer_name not in _FIRST_LAYERS:
        layer, node, _ = tensor._keras_history
        tensor, layer_name = layer._inbound_nodes[node].input_tensors[0], layer.name
    return keras.Model(model.input, [model.output, tensor], name=model.name)


def build_model(backbone: Backbone, head: Head, trains_batch_norm: bool = False) -> keras.Model:
    """Join a backbone and a head to a model over their weights.

    Args:
        backbone: The backbone, which runs in inference mode unless `trains_batch_norm`.
        head: The head, which runs in the mode of the model's call.
        trains_batch_norm: Whether the mode reaches the backbone, so that unfrozen
            BatchNormalization layers use and update the statistics of their batches.

    Returns:
        A model from pictures ``[batch, size, size, 3]`` float32, RGB, 0…255, to probabilities
        ``[batch, classes]`` float32, 0…1.

    Example:
        >>> import tfxfer
        >>> config = tfxfer.BackboneConfig(name="MobileNetV2", weights="none", alpha=0.35)
        >>> backbone = tfxfer.build_backbone(config)
        >>> head = tfxfer.build_head(tfxfer.HeadConfig(), 3, seed=0)
        >>> tfxfer.build_model(backbone, head).output_shape
        (None, 3)
    """
    pictures, preprocessed = backbone.start()
    mode = {} if trains_batch_norm else {"training": False}
    features = backbone.network(preprocessed, **mode)
    return keras.Model(
        pictures, head.classify(head.pool(features)), name=f"tfxfer_{backbone.network.name}"
    )
