"""A LiteRT file (``.tflite``) for phones and small computers, in float32 or smaller.

What each kind costs in accuracy, and how fast it is, stands in the README.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from tfxfer.backbones.hub_layer import HubModule
from tfxfer.errors import InputError, first_line
from tfxfer.export.litert_float16 import mix_float16
from tfxfer.litert.file import import_litert
from tfxfer.litert.interpreter import LiteModel
from tfxfer.litert.metadata import add_metadata
from tfxfer.machine import runtime

KINDS = {
    "float32": "weights and arithmetic in float32",
    "float16": "weights in float16 that bear it; CPUs compute in float32, GPUs as they like",
    "dynamic": "weights in int8; ranges of what is computed are found anew for each picture",
    "int8": "all in 8 bits, ranges found once; pictures and probabilities are uint8",
}
Representative = Callable[[], Iterable[np.ndarray]]
# Of float16, on the pictures that are given: others differ by up to twice as much, and 0.001 is the
# most that a float format may differ by.
_TOLERANCE = 5e-4
# Pictures in one call while the bias is corrected.
_BATCH = 16


def convert_litert(
    model: keras.Model,
    kind: str,
    path: Path,
    classes: Sequence[str],
    representative: Representative | None = None,
) -> None:
    """Write a LiteRT file that takes pictures of any number at a time.

    Its signature ``serving_default`` takes ``pictures`` ``[batch, size, size, 3]``, 0…255, and
    gives ``probabilities`` ``[batch, classes]``: float32, or both uint8 if the kind is ``int8``
    (their scales stand in the file: 1 and 1/256). The class names stand in its metadata.

    Args:
        model: from pictures 0…255 to probabilities, preprocessing inside, no augmentation.
        kind: one of `KINDS`.
        path: the file to write; one that is there is replaced.
        classes: class names.
        representative: gives pictures ``[size, size, 3]`` float32, 0…255, one at a time, some 200;
            for ``int8`` training pictures: the ranges of all that is computed are taken from them;
            for ``float16`` others: weights are rounded as far as probabilities on them bear it.

    Raises:
        InputError: there is no such kind, pictures are missing, LiteRT is not installed or lacks an
            operation that the network has, or a class name has a line break.
    """
    if kind not in KINDS:
        raise InputError(
            f"A LiteRT model is one of: {', '.join(KINDS)}. Received: {kind!r}. Choose one of them."
        )
    schema = import_litert("schema_py_generated")
    pictures = _collect(representative, kind) if kind in ("int8", "float16") else None
    try:
        # The converter writes its settings to standard error past Python, and warns of old names.
        with warnings.catch_warnings(), runtime.silent_stderr():
            warnings.simplefilter("ignore")
            content = _convert(model, kind, pictures if kind == "int8" else None)
    except (ConverterError, RuntimeError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            "LiteRT must know every operation of a network that is exported to it. Received: "
            f"{model.name!r} as {kind}: {first_line(error)}. Export it as a SavedModel or as ONNX, "
            "or train another backbone, such as MobileNetV2."
        ) from error
    if kind == "float16" and pictures is not None:
        content = mix_float16(content, pictures, _TOLERANCE)
    parsed = schema.ModelT.InitFromPackedBuf(content)
    finished = add_metadata(parsed, classes, model.input_shape[1], model.name)
    staging = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        staging.write_bytes(finished)
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def _collect(representative: Representative | None, kind: str) -> np.ndarray:
    """All representative pictures, ``[pictures, size, size, 3]`` float32."""
    pictures = list(representative()) if representative else []
    if not pictures:
        raise InputError(
            f"A LiteRT model in {kind} needs some 200 pictures, from which it is seen how its "
            "numbers may be rounded. Received: none. Give the run's data, or choose the kind "
            "'float32' or 'dynamic'."
        )
    return np.stack(pictures).astype(np.float32)


def _convert(model: keras.Model, kind: str, pictures: np.ndarray | None) -> bytes:
    if pictures is None:
        return _lower(model, lambda given: model(given, training=False), kind, None)
    *body, last = _split_off(model)
    if not isinstance(last, keras.layers.Dense):
        return _lower(model, lambda given: model(given, training=False), kind, pictures)
    network = body[0]

    def give_logits(given: tf.Tensor) -> tf.Tensor:
        return tf.matmul(network(given, training=False), last.kernel) + last.bias

    shift = _find_shift(model, give_logits, pictures)
    return _lower(model, lambda given: last.activation(give_logits(given) + shift), kind, pictures)


def _split_off(model: keras.Model) -> tuple[keras.Model, keras.Operation]:
    """The last layer, and a model of all before it."""
    last, node, _ = model.outputs[0]._keras_history
    before = last._inbound_nodes[node].input_tensors[0]
    return keras.Model(model.inputs, before), last


def _find_shift(
    model: keras.Model, give_logits: Callable[[tf.Tensor], tf.Tensor], pictures: np.ndarray
) -> np.ndarray:
    """How much a network in int8 gives too little of each class's logit, on average.

    Rounding errors of a thousand channels do not cancel out. What is left of them is the same for
    all pictures, so the head's bias can make up for it (Nagel et al. 2019, section 4.2).

    Returns:
        ``[classes]`` float32, to be added to the logits.
    """
    quantized = LiteModel(_lower(model, give_logits, "int8", pictures, gives_float=True))
    exact = tf.function(give_logits, autograph=False)
    differences = []
    for start in range(0, len(pictures), _BATCH):
        batch = np.rint(pictures[start : start + _BATCH])
        differences.append(exact(tf.constant(batch)).numpy() - quantized(batch))
    return np.concatenate(differences).mean(axis=0)


def _lower(
    model: keras.Model,
    answer: Callable[[tf.Tensor], tf.Tensor],
    kind: str,
    pictures: np.ndarray | None,
    gives_float: bool = False,
) -> bytes:
    """Convert a function over the model's weights."""
    size_px = model.input_shape[1]
    spec = tf.TensorSpec([None, size_px, size_px, 3], tf.float32, "pictures")
    traced = tf.function(
        lambda pictures: {"probabilities": answer(pictures)}, autograph=False
    ).get_concrete_function(spec)
    module = tf.Module()
    module.weights = [weight.value for weight in model.weights]
    hub_modules = [layer for layer in model._flatten_layers() if isinstance(layer, HubModule)]
    module.resources = [layer.loaded for layer in hub_modules]
    # With the module, the names of input and output stay; without, they are lost.
    converter: Any = tf.lite.TFLiteConverter.from_concrete_functions([traced], module)
    if kind in ("dynamic", "int8"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if pictures is not None:
        converter.representative_dataset = lambda: ([each[np.newaxis]] for each in pictures)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32 if gives_float else tf.uint8
    return bytes(converter.convert())
