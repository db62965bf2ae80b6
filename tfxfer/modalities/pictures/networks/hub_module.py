"""The export of a backbone as a reusable SavedModel with the interface of TF-Hub's modules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfxfer.backbones.backbone import Backbone
from tfxfer.errors import InputError
from tfxfer.machine.compiled import check_backend
from tfxfer.modalities.pictures.settings import side_px


def export_hub_module(backbone: Backbone, path: Path, weight_decay: float = 0.0) -> None:
    """Write a backbone with its preprocessing and average pooling.

    The module can be called on pictures ``[batch, size, size, 3]`` float32, 0…1, and gives
    features ``[batch, channels]`` float32. With its argument ``training``, BatchNormalization uses
    the statistics of the batch and updates its own. It has ``trainable_variables``, ``variables``
    and ``regularization_losses``; see https://www.tensorflow.org/hub/reusable_saved_models. The
    module holds the backbone's present weights. All trainable weights are marked as such, even
    those that are frozen now.

    Args:
        backbone: The backbone to write.
        path: The folder to write, which may not exist yet.
        weight_decay: The factor of each kernel's sum of squares in the regularization losses; 0
            adds no losses.

    Raises:
        InputError: The folder exists already, or Keras does not run on TensorFlow.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import tfxfer
        >>> config = tfxfer.BackboneConfig(name="MobileNetV2", weights="none", alpha=0.35)
        >>> backbone = tfxfer.build_backbone(config)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tfxfer.export_hub_module(backbone, Path(folder) / "module")
        ...     (Path(folder) / "module" / "saved_model.pb").is_file()
        True
    """
    if path.exists():
        raise InputError(
            f"A hub module is written into a new folder. Received: {str(path)!r}, which is there. "
            "Name another one, or remove it."
        )
    network, size_px = backbone.network, side_px(backbone.input)
    flags = [(layer, layer.trainable) for layer in network._flatten_layers()]
    check_backend("A hub module", "save the model (model.save)")
    try:
        for layer, _ in flags:
            layer.trainable = True
        pictures = keras.Input((size_px, size_px, 3), name="pictures")
        features = network(backbone.preprocessing.apply(pictures * 255.0))
        if len(features.shape) == 4:
            features = keras.layers.GlobalAveragePooling2D(name="features")(features)
        model = keras.Model(pictures, features)
        tf.saved_model.save(_make_module(model, size_px, weight_decay), str(path))
    finally:
        for layer, is_trainable in flags:
            layer.trainable = is_trainable


class _ReusableModule(tf.Module):
    """The attributes of TF-Hub's interface; unlike properties of `tf.Module`, they are saved."""

    variables: Any = None
    trainable_variables: Any = None
    regularization_losses: Any = None


def _make_module(model: keras.Model, size_px: int, weight_decay: float) -> tf.Module:
    def call(pictures: tf.Tensor, training: bool = False) -> tf.Tensor:
        return model(pictures, training=training)

    module = _ReusableModule()
    module.__call__ = tf.function(call)
    spec = tf.TensorSpec([None, size_px, size_px, 3], tf.float32, "pictures")
    for training in (False, True):
        module.__call__.get_concrete_function(spec, training=training)
    module.variables = [weight.value for weight in model.weights]
    module.trainable_variables = [weight.value for weight in model.trainable_weights]
    kernels = [w.value for w in model.trainable_weights if weight_decay and "kernel" in w.name]
    module.regularization_losses = [_make_loss(kernel, weight_decay) for kernel in kernels]
    # Keras calls its variables "kernel" and "bias", so the paths of the weights tell them apart.
    module.weights = {weight.path.replace("/", "."): weight.value for weight in model.weights}
    return module


def _make_loss(kernel: tf.Variable, weight_decay: float) -> Callable[[], tf.Tensor]:
    @tf.function(input_signature=[])
    def loss() -> tf.Tensor:
        return weight_decay * tf.reduce_sum(tf.square(kernel))

    return loss
