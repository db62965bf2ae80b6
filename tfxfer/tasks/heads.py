"""The head on a backbone: pooling, then dense layers up to the probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from tfxfer.config.head import HeadConfig
from tfxfer.errors import InputError
from tfxfer.machine.keras_settings import float32_policy

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

_POOLINGS = {
    "avg": (keras.layers.GlobalAveragePooling2D,),
    "max": (keras.layers.GlobalMaxPooling2D,),
    "avg_max": (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D),
}


@dataclass(frozen=True)
class DenseHead:
    """The head's layers, made once, so that every model of a run shares their weights."""

    poolings: tuple[keras.layers.Layer, ...]
    layers: tuple[keras.layers.Layer, ...]

    def count_pooled(self, shape: tuple[Any, ...]) -> int:
        """Return the number of channels that `pool` gives for features of a shape with batch.

        Raises:
            InputError: The features are a vector, but are to be pooled in another way than ``avg``.
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


@float32_policy()
def build_head(
    config: HeadConfig, class_count: int, seed: int, *, activation: str = "softmax"
) -> DenseHead:
    """Make the head's layers, which compute in float32 whatever the precision policy.

    Args:
        config: The settings of the head.
        class_count: The number of classes.
        seed: The seed of its initial weights.
        activation: The activation of the last layer. With ``"softmax"``, probabilities sum to 1.
            With ``"sigmoid"``, each one stands for itself, because items may have several labels.

    Example:
        >>> import tfxfer
        >>> head = tfxfer.build_head(tfxfer.HeadConfig(kind="mlp"), 3, seed=0)
        >>> [layer.name for layer in head.layers][-1]
        'probabilities'
    """
    probabilities = keras.layers.Dense(
        class_count,
        activation=activation,
        dtype=DTYPE,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        name="probabilities",
    )
    kinds = _POOLINGS[config.pooling]
    poolings = tuple(make(dtype=DTYPE, name=f"pool_{i}") for i, make in enumerate(kinds))
    return DenseHead(poolings, (*HEADS[config.kind](config), probabilities))
