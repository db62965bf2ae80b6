"""LiteRT files (``.tflite``) for phones and small computers, in float32 or smaller types.

The README says what each kind costs in accuracy, and how fast it is.
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
# With float16, probabilities may differ by so much on the given pictures. Other pictures differ by
# up to twice as much, and a float format may differ by 0.001 at most.
_TOLERANCE = 5e-4
# So many pictures are in one call while the bias is corrected.
_BATCH = 16


def convert_litert(
    model: keras.Model,
    kind: str,
    path: Path,
    classes: Sequence[str],
    representative: Representative | None = None,
) -> None:
    """Write a LiteRT file that takes batches of any size.

    Its signature ``serving_default`` takes ``pictures`` ``[batch, size, size, 3]``, 0…255, and
    gives ``probabilities`` ``[batch, classes]``. Both are float32, or uint8 if the kind is ``int8``
    (their scales stand in the file: 1 and 1/256). The class names stand in its metadata.

    Args:
        model: A model from pictures, 0…255, to probabilities. It includes the preprocessing and no
            augmentation.
        kind: One of `KINDS`.
        path: The file to write; an existing one is replaced.
        classes: The class names.
        representative: A function that yields some 200 pictures ``[size, size, 3]`` float32,
            0…255. For ``int8`` they are training pictures, from which all ranges are taken. For
            ``float16`` they are others, and weights are rounded as far as the probabilities of
            these pictures allow.

    Raises:
        InputError: There is no such kind, pictures are missing, LiteRT is not installed or lacks an
            operation of the network, or a class name has a line break.
    """
    if kind not in KINDS:
        raise InputError(
            f"A LiteRT model is one of: {', '.join(KINDS)}. Received: {kind!r}. Choose one of them."
        )
    schema = import_litert("schema_py_generated")
    items = _collect(representative, kind) if kind in ("int8", "float16") else None
    try:
        # The converter's native code writes to standard error, and it warns of deprecated names.
        with warnings.catch_warnings(), runtime.silent_stderr():
            warnings.simplefilter("ignore")
            content = _convert(model, kind, items if kind == "int8" else None)
    except (ConverterError, RuntimeError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            "LiteRT must know every operation of a network that is exported to it. Received: "
            f"{model.name!r} as {kind}: {first_line(error)}. Export it as a SavedModel or as ONNX, "
            "or train another backbone, such as MobileNetV2."
        ) from error
    if kind == "float16" and items is not None:
        content = mix_float16(content, items, _TOLERANCE)
    parsed = schema.ModelT.InitFromPackedBuf(content)
    finished = add_metadata(parsed, classes, model.input_shape[1], model.name)
    staging = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        staging.write_bytes(finished)
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def _collect(representative: Representative | None, kind: str) -> np.ndarray:
    """Return all representative pictures, ``[pictures, size, size, 3]`` float32."""
    items = list(representative()) if representative else []
    if not items:
        raise InputError(
            f"A LiteRT model in {kind} needs some 200 pictures, from which it is seen how its "
            "numbers may be rounded. Received: none. Give the run's data, or choose the kind "
            "'float32' or 'dynamic'."
        )
    return np.stack(items).astype(np.float32)


def _convert(model: keras.Model, kind: str, items: np.ndarray | None) -> bytes:
    if items is None:
        return _lower(model, lambda given: model(given, training=False), kind, None)
    *body, last = _halve(model)
    if not isinstance(last, keras.layers.Dense):
        return _lower(model, lambda given: model(given, training=False), kind, items)
    network = body[0]

    def give_logits(given: tf.Tensor) -> tf.Tensor:
        return tf.matmul(network(given, training=False), last.kernel) + last.bias

    shift = _find_shift(model, give_logits, items)
    return _lower(model, lambda given: last.activation(give_logits(given) + shift), kind, items)


def _halve(model: keras.Model) -> tuple[keras.Model, keras.Operation]:
    """Return a model of all layers except the last one, and that layer."""
    last, node, _ = model.outputs[0]._keras_history
    before = last._inbound_nodes[node].input_tensors[0]
    return keras.Model(model.inputs, before), last


def _find_shift(
    model: keras.Model, give_logits: Callable[[tf.Tensor], tf.Tensor], items: np.ndarray
) -> np.ndarray:
    """Return by how much each logit of a network in int8 is too small, on average.

    The rounding errors of a thousand channels do not cancel out. The remainder is the same for all
    pictures, so that the head's bias can compensate it (Nagel et al. 2019, section 4.2).

    Returns:
        ``[classes]`` float32, which has to be added to the logits.
    """
    quantized = LiteModel(_lower(model, give_logits, "int8", items, gives_float=True))
    exact = tf.function(give_logits, autograph=False)
    differences = []
    for start in range(0, len(items), _BATCH):
        batch = np.rint(items[start : start + _BATCH])
        differences.append(exact(tf.constant(batch)).numpy() - quantized(batch))
    return np.concatenate(differences).mean(axis=0)


def _lower(
    model: keras.Model,
    answer: Callable[[tf.Tensor], tf.Tensor],
    kind: str,
    items: np.ndarray | None,
    gives_float: bool = False,
) -> bytes:
    """Convert a function that uses the model's weights to a LiteRT file."""
    size_px = model.input_shape[1]
    spec = tf.TensorSpec([None, size_px, size_px, 3], tf.float32, "pictures")
    traced = tf.function(
        lambda items: {"probabilities": answer(items)}, autograph=False
    ).get_concrete_function(spec)
    module = tf.Module()
    module.weights = [weight.value for weight in model.weights]
    hub_modules = [layer for layer in model._flatten_layers() if isinstance(layer, HubModule)]
    module.resources = [layer.loaded for layer in hub_modules]
    # The module makes the converter keep the names of input and output.
    converter: Any = tf.lite.TFLiteConverter.from_concrete_functions([traced], module)
    if kind in ("dynamic", "int8"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if items is not None:
        converter.representative_dataset = lambda: ([each[np.newaxis]] for each in items)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32 if gives_float else tf.uint8
    return bytes(converter.convert())
