"""Files for LiteRT, formerly TensorFlow Lite: phones and small boards."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfxfer import runtime
from tfxfer.errors import InputError, first_line
from tfxfer.export.litert_float16 import mix_float16
from tfxfer.export.litert_metadata import add_metadata

# Of float16: less than what a float format may differ by, since other pictures differ more.
_TOLERANCE = 8e-4
KINDS = ("float32", "float16", "dynamic", "int8")


def convert_litert(
    model: keras.Model,
    kind: str,
    path: Path,
    classes: Sequence[str],
    representative: Callable[[], Iterable[np.ndarray]] | None = None,
) -> None:
    """Write a LiteRT file with its labels and input range.

    Its signature ``serving_default`` takes ``pictures`` ``[batch, size, size, 3]`` 0…255, RGB, and
    gives ``probabilities`` ``[batch, classes]``: float32, or uint8 both where the kind is
    ``"int8"``. The batch is 1, and can be resized.

    Args:
        model: from pictures 0…255 to probabilities.
        kind: ``"float32"``; ``"float16"``: weights of half the size, but for those that matter
            (`mix_float16`); ``"dynamic"``: weights of 8
            bits, computed with in whole numbers whose range each run finds; ``"int8"``: all in
            whole numbers, whose ranges are those of `representative`.
        path: the file.
        classes: class names.
        representative: of float16 and int8: gives typical pictures ``[size, size, 3]`` float32,
            0…255; of float16, such as were not trained on.

    Raises:
        InputError: the model holds what LiteRT does not know.
    """

    @tf.function(
        input_signature=[tf.TensorSpec(model.input_shape, tf.float32, "pictures")], autograph=False
    )
    def probabilities(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(pictures, training=False)}

    if kind in ("float16", "int8") and representative is None:
        raise ValueError(f"{kind} needs representative pictures")
    converted = _convert(probabilities, kind, representative)
    if kind == "float16" and representative is not None:
        full = _convert(probabilities, "float32")
        converted = mix_float16(full, converted, representative(), _TOLERANCE)
    about = f"Exported by tfxfer from {model.name}, {kind}"
    path.write_bytes(add_metadata(converted, model.name, about, classes))


def _convert(
    function: tf.types.experimental.PolymorphicFunction,
    kind: str,
    representative: Callable[[], Iterable[np.ndarray]] | None = None,
) -> bytes:
    """Let TensorFlow's converter make a LiteRT model of a function with one signature."""
    # The weights become constants of the function; a SavedModel would only take a way round.
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], function
    )
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8" and representative is not None:

        def examples() -> Iterator[list[np.ndarray]]:
            for picture in representative():
                yield [picture[np.newaxis]]

        converter.representative_dataset = examples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    try:
        with warnings.catch_warnings(), runtime.silent_stderr():
            warnings.simplefilter("ignore")
            return converter.convert()
    except Exception as error:  # the converter raises errors of many types
        raise InputError(
            "A LiteRT file must consist of operations that LiteRT knows. Received: a model that "
            f"its converter refuses ({first_line(error)}). Export another format, such as "
            "saved_model, or train on another backbone."
        ) from error
