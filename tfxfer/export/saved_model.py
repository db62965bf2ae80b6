"""A SavedModel for TensorFlow Serving that gives what the trained model gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfxfer.backbones.hub_layer import HubModule
from tfxfer.data.pictures import PictureSet
from tfxfer.data.pipeline import plain_view
from tfxfer.records import Exported

# Largest difference of a probability: the graph is another one, the arithmetic is float32.
_TOLERANCE = 1e-4
_COMPARED = 16


class ExportMismatchError(RuntimeError):
    """The exported model does not give what the trained one gives."""


def export_saved_model(
    model: keras.Model, classes: Sequence[str], path: Path, validation: PictureSet
) -> Exported:
    """Write a SavedModel, load it in plain TensorFlow and compare it with the trained model.

    Signatures: ``serving_default`` takes ``pictures`` ``[batch, size, size, 3]`` float32 0…255,
    ``serve_uint8`` the same as uint8, ``serve_bytes`` takes ``image_bytes`` ``[batch]``, encoded
    JPEG, PNG, BMP or WebP pictures of any size. Each gives ``probabilities`` ``[batch, classes]``
    float32, ``classes`` ``[batch, classes]`` (their names) and ``label`` ``[batch]`` (the name of
    the most probable one). Where pictures have several labels, each probability stands for itself
    and they do not sum to 1; `label` is the most probable one still, whether or not others are
    probable too.

    Args:
        model: from pictures 0…255 to probabilities; it holds no augmentation.
        classes: class names.
        path: numbered folder to write.
        validation: pictures to compare on.

    Raises:
        ExportMismatchError: the outputs differ.
    """
    size_px = model.input_shape[1]
    names = tf.constant(list(classes))

    # One function for all signatures: the network is traced once.
    @tf.function(
        input_signature=[tf.TensorSpec([None, size_px, size_px, 3], tf.float32)], autograph=False
    )
    def answer(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = model(pictures, training=False)
        rows = tf.shape(probabilities)[0]
        return {
            "probabilities": probabilities,
            "classes": tf.tile(names[tf.newaxis], [rows, 1]),
            "label": tf.gather(names, tf.argmax(probabilities, axis=1)),
        }

    def serve_pictures(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(tf.cast(pictures, tf.float32))

    def serve_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        pictures = tf.map_fn(
            plain_view(size_px),
            image_bytes,
            fn_output_signature=tf.TensorSpec([size_px, size_px, 3], tf.float32),
        )
        return answer(pictures)

    shape = [None, size_px, size_px, 3]
    signatures = {
        name: tf.function(function, autograph=False).get_concrete_function(spec)
        for name, function, spec in (
            ("serving_default", serve_pictures, tf.TensorSpec(shape, tf.float32, "pictures")),
            ("serve_uint8", serve_pictures, tf.TensorSpec(shape, tf.uint8, "pictures")),
            ("serve_bytes", serve_bytes, tf.TensorSpec([None], tf.string, "image_bytes")),
        )
    }
    # Not `keras.export.ExportArchive`: it traces every function, and each layer's, once more.
    module = tf.Module()
    module.weights = [weight.value for weight in model.weights]
    hub_modules = [layer for layer in model._flatten_layers() if isinstance(layer, HubModule)]
    module.resources = [layer.loaded for layer in hub_modules]  # such as lookup tables
    tf.saved_model.save(module, str(path), signatures=signatures)
    return compare_export(model, path, validation)


def compare_export(model: keras.Model, path: Path, validation: PictureSet) -> Exported:
    """Load a SavedModel in plain TensorFlow and compare every signature with the trained model.

    Raises:
        ExportMismatchError: a probability differs by more than 1e-4.
    """
    size_px = model.input_shape[1]
    count = len(validation.labels)
    spread = np.unique(np.linspace(0, count - 1, min(_COMPARED, count)).astype(int))
    compared = validation.choose(spread).encoded()
    encoded = [bytes(item) for item, _ in compared.as_numpy_iterator()]
    pictures = tf.stack([plain_view(size_px)(item) for item in encoded])
    rounded = tf.cast(tf.round(pictures), tf.uint8)
    signatures = tf.saved_model.load(str(path)).signatures
    trials = {
        "serving_default": (pictures, signatures["serving_default"](pictures=pictures)),
        "serve_uint8": (rounded, signatures["serve_uint8"](pictures=rounded)),
        "serve_bytes": (pictures, signatures["serve_bytes"](image_bytes=tf.constant(encoded))),
    }
    differences = {}
    for name, (given, served) in trials.items():
        expected = keras.ops.convert_to_numpy(model(tf.cast(given, tf.float32), training=False))
        differences[name] = float(np.abs(served["probabilities"].numpy() - expected).max())
    for name, difference in differences.items():
        if not difference <= _TOLERANCE:
            raise ExportMismatchError(
                f"The exported model must give the trained model's probabilities to within "
                f"{_TOLERANCE}. Received: a difference of {difference:.2g} in signature {name!r} "
                f"on {len(encoded)} validation pictures. Nothing was kept; please report this "
                "with the run's config."
            )
    return Exported(path, len(encoded), max(differences.values()))
