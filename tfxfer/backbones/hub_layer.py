"""A TF-Hub module as a layer of Keras 3: it freezes, trains, saves and exports like any other."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

# Keras's own name for what `safe_mode` of the loading function was; it has no public one.
from keras.src.saving.serialization_lib import in_safe_mode

from tfxfer.backbones.saved_model import Module, load_saved_model, trace_output
from tfxfer.errors import InputError
from tfxfer.machine.compiled import check_backend


@keras.saving.register_keras_serializable("tfxfer")
class HubModule(keras.layers.Layer):
    """A SavedModel as a layer, over the SavedModel's own variables.

    Make one with `load_hub_module`. A model that holds one is saved with the module in its
    ``.keras`` file, and is loaded with ``safe_mode=False`` alone: a SavedModel is a program.

    `trainable` counts for all of its variables. It runs in training mode only where it is trainable
    and the call's mode is; its regularization losses are added where it is trainable. It computes
    in its own dtype, and gives the layer's compute dtype.

    Args:
        interface: what the module is, as `load_hub_module` found it.
        follows_mode: False keeps it in inference mode always, as its BatchNormalization needs to
            be where it is not to be trained. The argument ``training=False`` does not: Keras
            3.15.1 hands a model's own mode to the layers of the models in it.
    """

    def __init__(self, interface: dict[str, Any], follows_mode: bool = True, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.interface = interface
        self.follows_mode = follows_mode
        self.supports_jit = False  # who knows what a module holds
        self._module: Module | None = None
        self._folder: Path | None = None
        self.built = True

    @property
    def why_frozen(self) -> str:
        """Why the module cannot be trained; empty where it can."""
        return self.interface["why_frozen"]

    @property
    def loaded(self) -> Any:
        """What `tf.saved_model.load` gave: an export carries along what it holds."""
        return self._module.loaded if self._module else None

    def bind(self, module: Module, folder: Path) -> None:
        """Take the variables of a loaded module for this layer's."""
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
        """Take the module out of a ``.keras`` file, and give it the weights loaded before."""
        # Keras removes its folder, and the layer may be saved again.
        kept = tempfile.TemporaryDirectory(prefix="tfxfer-module-")
        self._kept = kept  # goes with the layer
        folder = Path(kept.name)
        shutil.copytree(dir_path, folder, dirs_exist_ok=True)
        module = load_saved_model(folder, self.interface["signature"])
        own = {variable.name: variable for variable in self.variables}
        for variable in module.variables:
            variable.value.assign(own[variable.name].value)
            own[variable.name]._value = variable.value  # Keras has no public way to do this
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
        folder: the SavedModel.
        input_shape: of one example; None: as the module says.
        signature: call this one, frozen; None: the module itself where that is possible.
        output: the output to take, where the module gives several by name.
        arguments: hyper-parameters of its call.

    Returns:
        A layer from batches ``[batch, *input_shape]`` to ``[batch, *output_shape]``.

    Raises:
        InputError: it is broken, cannot be called in this way, or Keras runs on another backend
            than TensorFlow.
    """
    module = load_saved_model(Path(folder), signature)
    return make_hub_layer(
        module, Path(folder), input_shape or module.input_shape, output, arguments or {}, name
    )


def make_hub_layer(
    module: Module,
    folder: Path,
    input_shape: Sequence[int | None],
    output: str | None,
    arguments: Mapping[str, Any],
    name: str | None = None,
) -> HubModule:
    """Make a layer of a module that is loaded from a folder; see `load_hub_module`."""
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
