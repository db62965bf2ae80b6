"""TF-Hub modules as layers of Keras 3, which freeze, train, save and export like any others."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

# This tells the value of `safe_mode` while Keras loads a model; Keras has no public way to ask.
from keras.src.saving.serialization_lib import in_safe_mode

from tfxfer.backbones.saved_model import Module, load_saved_model, trace_output
from tfxfer.errors import InputError
from tfxfer.machine.compiled import check_backend


@keras.saving.register_keras_serializable("tfxfer")
class HubModule(keras.layers.Layer):
    """A layer that runs a SavedModel with the SavedModel's own variables.

    `load_hub_module` makes such layers. A model with one is saved with the SavedModel in its
    ``.keras`` file. It is only loaded with ``safe_mode=False``, because a SavedModel is a program.

    `trainable` applies to all variables. The module runs in training mode only if it is trainable
    and the call is in training mode. Its regularization losses are added only if it is trainable.
    The module computes in its own dtype, and the layer gives its compute dtype.

    Args:
        interface: The description of the module that `load_hub_module` made.
        follows_mode: Whether the module may run in training mode. False keeps it in inference mode
            always, so that its BatchNormalization is not trained. The argument ``training=False``
            cannot do this, because Keras 3.15.1 gives a model's own mode to the layers of models
            in it.

    Example:
        # "module" is a folder that `export_hub_module` wrote.
        layer = tfxfer.load_hub_module("module")  # a `HubModule`
        features = layer(np.zeros((1, 224, 224, 3), np.float32))  # [1, channels]
    """

    def __init__(self, interface: dict[str, Any], follows_mode: bool = True, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.interface = interface
        self.follows_mode = follows_mode
        self.supports_jit = False  # A module may hold operations that cannot be compiled.
        self._module: Module | None = None
        self._folder: Path | None = None
        self.built = True

    @property
    def why_frozen(self) -> str:
        """The reason why the module cannot be trained; empty if it can."""
        return self.interface["why_frozen"]

    @property
    def loaded(self) -> Any:
        """The object from `tf.saved_model.load`; an export has to include the things in it."""
        return self._module.loaded if self._module else None

    def bind(self, module: Module, folder: Path) -> None:
        """Make the variables of a loaded module this layer's own."""
        for variable in module.variables:
            own = keras.Variable(
                variable.value,
                trainable=variable.is_trainable and not self.why_frozen,
                dtype=variable.dtype,
                name=variable.name,
            )
            self._track_variable(own)
        self._module, self._folder = module, folder

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if self._module is None:
            raise InputError(
                f"The layer {self.name!r} must have its module to be called. Received: a layer "
                "made from its config alone, as keras.models.clone_model does. Load the .keras "
                "file that holds it, or make it anew with load_hub_module."
            )
        arguments = dict(self.interface["arguments"])
        if self._module.takes_training:
            arguments["training"] = bool(training and self.trainable and self.follows_mode)
        given = self._module.call(tf.cast(inputs, self.interface["input_dtype"]), **arguments)
        if self.interface["output"] is not None:
            given = given[self.interface["output"]]
        if self.trainable:
            for loss in self._module.regularization_losses:
                self.add_loss(loss())
        given = tf.ensure_shape(given, (None, *self.interface["output_shape"]))
        return tf.cast(given, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.interface["output_shape"])

    def get_config(self) -> dict[str, Any]:
        own = {"interface": self.interface, "follows_mode": self.follows_mode}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> HubModule:
        if in_safe_mode() is not False:
            raise ValueError(
                "A model with a hub module holds a SavedModel, which is a program. It is loaded "
                "only where its maker is trusted. Received: safe_mode=True. If you trust it, load "
                "it with keras.models.load_model(path, safe_mode=False)."
            )
        layer = cls(**config)
        for name, shape, dtype, is_trainable in config["interface"]["variables"]:
            layer.add_weight(
                name=name,
                shape=shape,
                dtype=dtype,
                initializer="zeros",
                trainable=is_trainable and not layer.why_frozen,
            )
        return layer

    def save_assets(self, dir_path: str) -> None:
        """Put the module into a ``.keras`` file."""
        if self._folder is None or not self._folder.is_dir():
            raise InputError(
                f"The layer {self.name!r} is saved with its module. Received: a module that is "
                f"not at {self._folder} any more. Put it back, and save again."
            )
        shutil.copytree(self._folder, dir_path, dirs_exist_ok=True)

    def load_assets(self, dir_path: str) -> None:
        """Take the module from a ``.keras`` file, and give it the weights loaded before."""
        # The module is copied, because Keras removes its folder and the layer may be saved again.
        folder = Path(tempfile.mkdtemp(prefix="tfxfer-module-"))
        # The copy is removed together with the layer, or when Python ends.
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        shutil.copytree(dir_path, folder, dirs_exist_ok=True)
        module = load_saved_model(folder, self.interface["signature"])
        own = {variable.name: variable for variable in self.variables}
        for variable in module.variables:
            variable.value.assign(own[variable.name].value)
            own[variable.name]._value = variable.value  # Keras has no public way to do this.
        self._module, self._folder = module, folder


def load_hub_module(
    folder: str | Path,
    *,
    input_shape: tuple[int, ...] | None = None,
    signature: str | None = None,
    output: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> HubModule:
    """Make a layer of a SavedModel.

    Args:
        folder: The SavedModel's folder.
        input_shape: The shape of one example; None takes the shape that the module states.
        signature: A signature to call, which is always frozen; None calls the module itself if
            that is possible.
        output: The output to take if the module gives several by name.
        arguments: Hyper-parameters of the call.
        name: The name of the layer.

    Returns:
        A layer from batches ``[batch, *input_shape]`` to ``[batch, *output_shape]``.

    Raises:
        InputError: The module is broken or cannot be called in this way, or Keras runs on another
            backend than TensorFlow.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import tfxfer
        >>> config = tfxfer.BackboneConfig(name="MobileNetV2", weights="none", alpha=0.35)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tfxfer.export_hub_module(tfxfer.build_backbone(config), Path(folder) / "module")
        ...     layer = tfxfer.load_hub_module(Path(folder) / "module")
        >>> layer(np.zeros((1, 224, 224, 3), np.float32)).shape.as_list()
        [1, 1280]
    """
    module = load_saved_model(Path(folder), signature)
    return make_hub_layer(
        module,
        Path(folder),
        input_shape or module.input_shape,
        output=output,
        arguments=arguments or {},
        name=name,
    )


def make_hub_layer(
    module: Module,
    folder: Path,
    input_shape: Sequence[int | None],
    *,
    output: str | None,
    arguments: Mapping[str, Any],
    name: str | None = None,
) -> HubModule:
    """Make a layer of a loaded module; the arguments are those of `load_hub_module`."""
    check_backend("A hub module's program", "take a Keras Applications or KerasHub backbone")
    chosen, output_shape, output_dtype = trace_output(module, input_shape, arguments, output)
    interface = {
        "signature": module.signature,
        "output": chosen,
        "arguments": dict(arguments),
        "input_shape": list(input_shape),
        "input_dtype": module.input_dtype,
        "output_shape": list(output_shape),
        "output_dtype": output_dtype,
        "why_frozen": module.why_frozen,
        "variables": [[v.name, list(v.shape), v.dtype, v.is_trainable] for v in module.variables],
    }
    layer = HubModule(interface, trainable=not module.why_frozen, name=name)
    layer.bind(module, folder)
    return layer
