"""The interface of a SavedModel: its call, its inputs and outputs, and its trainable variables.

The interface of a *reusable* SavedModel is TF-Hub's: an object that can be called on a batch, with
`trainable_variables`, `variables` and `regularization_losses`, and perhaps an argument `training`
(https://www.tensorflow.org/hub/reusable_saved_models). Other SavedModels have only signatures.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfxfer.backbones.module_variables import Variable, list_variables
from tfxfer.errors import InputError, first_line

_TF1_MODULE = "tfhub_module.pb"
# Signatures and outputs have these names by convention; the first one that exists is taken.
_SIGNATURES = ("default", "serving_default", "image_feature_vector")
_OUTPUTS = ("default", "feature_vector", "pooled_output")


@dataclass(frozen=True)
class Module:
    """A loaded SavedModel.

    Attributes:
        loaded: The object from `tf.saved_model.load`, which has to live as long as the module.
        call: A function from a batch and keyword arguments to the module's outputs.
        signature: The signature that is called; None if the module itself is called.
        input_shape: The shape of one example; None stands for a side of any length.
        input_dtype: The dtype of a batch.
        takes_training: Whether `call` has an argument `training`.
        variables: The variables that it uses.
        regularization_losses: Functions that each return a scalar.
        why_frozen: Why it cannot be trained; empty if it can.
    """

    loaded: Any
    call: Callable[..., Any]
    signature: str | None
    input_shape: tuple[int | None, ...]
    input_dtype: str
    takes_training: bool
    variables: tuple[Variable, ...]
    regularization_losses: tuple[Callable[[], tf.Tensor], ...]
    why_frozen: str


def load_saved_model(folder: Path, signature: str | None = None) -> Module:
    """Load a SavedModel of TensorFlow 2, or of TensorFlow 1, and find out how to call it.

    Args:
        folder: The SavedModel's folder.
        signature: The signature to call. None calls the module itself if possible, else the
            signature `default` or `serving_default`, or the only one.

    Raises:
        InputError: The SavedModel is broken, or it is unclear how to call it.
    """
    is_tf1_module = (folder / _TF1_MODULE).is_file()
    try:
        # A module of TF1 holds several graphs with tags; the graph without tags is for inference.
        loaded = tf.saved_model.load(str(folder), tags=[] if is_tf1_module else None)
    except Exception as error:  # TensorFlow's parsers and readers raise errors of many types.
        raise InputError(
            f"A hub module must be a SavedModel that TensorFlow {tf.__version__} can load. "
            f"Received: {str(folder)!r} ({first_line(error)}). Fetch or export it again."
        ) from error
    is_reusable = callable(loaded) and signature is None
    if is_reusable:
        functions = loaded.__call__.concrete_functions
        specs = _input_specs(functions[0]) if functions else {}
        call, chosen = loaded, None
    else:
        chosen = _choose_signature(loaded, signature, folder)
        functions = [loaded.signatures[chosen]]
        _, specs = functions[0].structured_input_signature
        call = functions[0]
    if len(specs) != 1:
        raise InputError(
            "A hub module must take one tensor, a batch of examples. Received: "
            f"{str(folder)!r}, which takes {', '.join(specs) or 'none'}. Take another module, or "
            "another signature (--set backbone.signature=NAME)."
        )
    ((input_name, spec),) = specs.items()
    if spec.shape.rank is None:
        shape: tuple[int | None, ...] = (None, None, None)
    else:
        shape = tuple(spec.shape[1:])
    return Module(
        loaded,
        call if is_reusable else lambda batch: call(**{input_name: batch}),
        chosen,
        shape,
        spec.dtype.name,
        is_reusable and any("training" in _arguments(function) for function in functions),
        list_variables(loaded, functions),
        tuple(getattr(loaded, "regularization_losses", None) or ()) if is_reusable else (),
        "" if is_reusable else _why_frozen(is_tf1_module),
    )


def trace_output(
    module: Module,
    input_shape: Sequence[int | None],
    arguments: Mapping[str, Any],
    output: str | None = None,
) -> tuple[str | None, tuple[int | None, ...], str]:
    """Find out the output of a module for examples of a shape.

    Args:
        module: The module.
        input_shape: The shape of one example.
        arguments: Hyper-parameters of the call.
        output: The output to take if there are several by name.

    Returns:
        The name of the output, or None if there is a single one without a name; its shape for one
        example; and its dtype.

    Raises:
        InputError: The module does not take these examples or arguments, or gives no single tensor.
    """

    @tf.function
    def trace(batch: tf.Tensor) -> Any:
        extra = {"training": False} if module.takes_training else {}
        return module.call(batch, **arguments, **extra)

    try:
        spec = tf.TensorSpec([None, *input_shape], module.input_dtype)
        given = trace.get_concrete_function(spec).structured_outputs
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise InputError(
            f"A hub module must take what it is given. Received: batches of examples "
            f"{tuple(input_shape)} {module.input_dtype}, arguments {dict(arguments)} "
            f"({first_line(error)}). Its own examples are {module.input_shape}; see "
            "backbone.image_size_px and backbone.arguments."
        ) from error
    name = None
    if isinstance(given, Mapping):
        name = _choose_output(given, output)
        given = given[name]
    elif output is not None:
        raise InputError(
            "output names one of several outputs. Received: "
            f"output={output!r} of a module that gives one tensor. Leave it out."
        )
    if not isinstance(given, tf.TensorSpec | tf.Tensor) or given.shape.rank is None:
        raise InputError(
            "A hub module must give one tensor of known rank. Received: one that gives "
            f"{given}. Take another module, or another signature (--set backbone.signature=NAME)."
        )
    return name, tuple(given.shape[1:]), given.dtype.name


def _choose_signature(loaded: Any, signature: str | None, folder: Path) -> str:
    names = sorted(getattr(loaded, "signatures", {}))
    if signature in names:
        return str(signature)
    usual = [name for name in _SIGNATURES if name in names]
    if signature is None and (usual or len(names) == 1):
        return (usual or names)[0]
    raise InputError(
        "A hub module must be a SavedModel that can be called or has a signature. Received: "
        f"{str(folder)!r} with signatures {', '.join(names) or '(none)'}"
        f"{f', asked for {signature!r}' if signature else ''}. "
        + ("Name one with --set backbone.signature=NAME." if names else "Take another module.")
    )


def _choose_output(given: Mapping[str, Any], output: str | None) -> str:
    if output in given:
        return str(output)
    usual = [name for name in _OUTPUTS if name in given]
    if output is None and (usual or len(given) == 1):
        return (usual or list(given))[0]
    raise InputError(
        f"Of a module's outputs one is taken: {', '.join(sorted(given))}. Received: "
        f"output={output!r}. Name one with --set backbone.output=NAME."
    )


def _why_frozen(is_tf1_module: bool) -> str:
    if is_tf1_module:
        return "it is a module of TensorFlow 1, whose losses and update operations are lost"
    return "it is called through a signature, which knows no training mode and no losses"


def _arguments(function: Any) -> dict[str, Any]:
    """Return a concrete function's arguments by name: specs of tensors, and other values."""
    positional, keywords = function.structured_input_signature
    names = [
        name
        for name, parameter in function.function_type.parameters.items()
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    return dict(zip(names, positional, strict=False)) | keywords


def _input_specs(function: Any) -> dict[str, tf.TensorSpec]:
    """Return the spec of the batch, which is the first argument; all others have defaults."""
    first = next(iter(_arguments(function).items()), None)
    if first is None or not isinstance(first[1], tf.TensorSpec):
        return {}
    return dict([first])
