"""A SavedModel for TensorFlow Serving with the same outputs as the trained model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxfer import run
from tfxfer.backbones.whole import add_embeddings
from tfxfer.data.items import ItemSet, spread, spread_rows
from tfxfer.data.pipeline import take_sample
from tfxfer.export.served_network import ServedNetwork, serve_network
from tfxfer.export.warm_up import feed, write_warm_up
from tfxfer.machine.compiled import (
    call_model,
    exact_float32,
    graphs_as_written,
)
from tfxfer.modality import InputSpec, Signature
from tfxfer.prediction.prepare import find_modality
from tfxfer.records.exports import Exported

# Probabilities may differ by so much, because another graph rounds differently in float32.
_TOLERANCE = 1e-4
_COMPARED = 16
TOP_K = 5  # the number of classes in `labels` and `scores`

Outputs = dict[str, tf.Tensor]


class ExportMismatchError(RuntimeError):
    """An error which says that the exported model's outputs differ from the trained one's."""


def export_saved_model(
    model: keras.Model,
    classes: Sequence[str],
    path: Path,
    validation: ItemSet,
    *,
    top_k: int = TOP_K,
    name: str = "tfxfer",
    network: ServedNetwork | None = None,
    chosen_by: np.ndarray | None = None,
) -> Exported:
    """Write a SavedModel, load it in plain TensorFlow and compare it with the trained model.

    The signature ``serving_default`` takes ``pictures`` ``[batch, size, size, 3]`` float32, 0…255;
    ``serve_uint8`` takes the same as uint8; ``serve_bytes`` takes ``image_bytes`` ``[batch]``,
    encoded JPEG, PNG, BMP or WebP pictures of any size. Each gives ``probabilities``
    ``[batch, classes]`` float32, ``classes`` ``[batch, classes]`` (their names), and ``labels``
    and ``scores`` ``[batch, k]``: the names and probabilities of the most probable classes, in
    descending order. What takes encoded pictures also gives ``valid`` ``[batch]`` bool: in a batch,
    a picture that cannot be decoded has zeros and empty names, and alone it is an error. If
    pictures have several labels, probabilities are independent of each other
    and do not sum to 1. ``features`` and ``features_bytes`` take the same pictures and encoded
    pictures, and give ``embeddings`` ``[batch, channels]`` float32, the features that the head
    reads.

    The class names also lie in ``assets/classes.txt``, and warm-up requests in ``assets.extra``.

    Args:
        model: A model from pictures, 0…255, to probabilities, without augmentation.
        classes: The class names.
        path: The numbered folder to write.
        validation: The pictures for the comparison and for the warm-up requests.
        top_k: The number of ``labels``, at most that of the classes.
        name: The name under which the model will be served.
        network: The model's network, if it is traced already.
        chosen_by: The probabilities of all validation items ``[items, classes]`` by which the
            model was chosen, if they are known. They were computed block by block and on stored
            features; the exported model must give the same.

    Raises:
        ExportMismatchError: The outputs differ.
    """
    write_saved_model(model, classes, path, top_k, network)
    encoded = choose_encoded(validation, _COMPARED)
    views = make_views(model, validation, _COMPARED)
    write_warm_up(path, name, list_signatures(model), encoded=encoded, views=views)
    trained = None
    if network is not None and chosen_by is not None:
        trained = _check_network(network, views, spread_rows(len(chosen_by), _COMPARED), chosen_by)
    return compare_export(model, path, encoded, views, trained)


def write_saved_model(
    model: keras.Model,
    classes: Sequence[str],
    path: Path,
    top_k: int = TOP_K,
    network: ServedNetwork | None = None,
) -> None:
    """Write a SavedModel with the signatures of `export_saved_model`, which has the arguments."""
    names = tf.constant(list(classes))
    count = min(top_k, len(classes))
    network = network or serve_network(model)
    # All signatures share one function, so that the network is traced once.
    answer, module = network.answer, network.module

    def classify(inputs: tf.Tensor) -> Outputs:
        probabilities, _ = answer(inputs)
        rows = tf.shape(probabilities)[0]
        scores, best = tf.math.top_k(probabilities, count)
        return {
            "probabilities": probabilities,
            "classes": tf.tile(names[tf.newaxis], [rows, 1]),
            "labels": tf.gather(names, best),
            "scores": scores,
        }

    def embed(inputs: tf.Tensor) -> Outputs:
        _, embeddings = answer(inputs)
        return {"embeddings": embeddings}

    def trace(signature: Signature) -> Any:
        give = embed if signature.gives_embeddings else classify

        def serve(given: tf.Tensor) -> Outputs:
            if not signature.is_encoded:
                return give(signature.convert(given))
            items, is_valid = signature.convert(given)
            return _blank(give(items), is_valid) | {"valid": is_valid}

        # The name of a function's parameter is that of the signature's input.
        return tf.function(serve, autograph=False).get_concrete_function(signature.spec)

    signatures = {each.name: trace(each) for each in list_signatures(model)}
    with tempfile.TemporaryDirectory() as folder:
        run.write_classes(Path(folder), classes)
        module.classes = tf.saved_model.Asset(str(Path(folder) / run.CLASSES))
        tf.saved_model.save(module, str(path), signatures=signatures)


def _blank(outputs: Outputs, is_valid: tf.Tensor) -> Outputs:
    """Return outputs with zeros and empty names in the rows of items that are not valid."""
    rows = is_valid[:, tf.newaxis]
    return {
        name: output if name == "classes" else tf.where(rows, output, tf.zeros_like(output))
        for name, output in outputs.items()
    }


def list_signatures(model: keras.Model) -> tuple[Signature, ...]:
    """Return what an export of a model can be asked."""
    spec = InputSpec.of(model)
    return find_modality(spec.name).signatures(spec)


def choose_encoded(items: ItemSet, count: int) -> list[bytes]:
    """Return `count` encoded pictures, spread evenly over the set."""
    chosen = spread(items, count).encoded()
    return [bytes(encoded) for encoded, _ in chosen.as_numpy_iterator()]


def make_views(model: keras.Model, items: ItemSet, count: int) -> tf.Tensor:
    """Return what `choose_encoded` takes as the network takes it, ``[items, …]`` float32."""
    spec = InputSpec.of(model)
    view = find_modality(spec.name).plain_view(spec)
    return tf.constant(take_sample(items, view, count=count))


def _check_network(
    network: ServedNetwork, views: tf.Tensor, rows: np.ndarray, chosen_by: np.ndarray
) -> list[np.ndarray]:
    """Return what a network gives for views and for rounded views, if it is what was chosen by.

    Args:
        rows: The positions of the views' items among all.
        chosen_by: The same as in `export_saved_model`.

    Raises:
        ExportMismatchError: The probabilities differ.
    """
    given = network.call(_with_rounded(views))
    difference = float(np.abs(given[0][: len(rows)] - chosen_by[rows]).max())
    _check_differences({"the network": difference}, len(rows))
    return given


def _with_rounded(views: tf.Tensor) -> np.ndarray:
    return tf.concat([views, tf.round(views)], axis=0).numpy()


def compare_export(
    model: keras.Model,
    path: Path,
    encoded: Sequence[bytes],
    views: tf.Tensor,
    trained: list[np.ndarray] | None = None,
) -> Exported:
    """Load a SavedModel in plain TensorFlow and compare its signatures with the trained model.

    One is left out: that which decodes files as another one does and gives the embeddings of a
    third. To make the graph of its decoder ready takes longer than all the others.

    Args:
        model: The trained model.
        path: The SavedModel's folder.
        encoded: The pictures for the comparison.
        views: The same pictures as `make_views` returns them.
        trained: What the trained model gives for the views and then for the rounded views:
            probabilities and embeddings; None asks it.

    Raises:
        ExportMismatchError: A probability differs by more than 1e-4, or an embedding by more than
            1e-4 of the largest one.
    """
    loaded = tf.saved_model.load(str(path)).signatures
    count = len(encoded)
    differences: dict[str, float] = {}
    with exact_float32():
        if trained is None:
            trained = call_model(add_embeddings(model))(_with_rounded(views))
        for signature in list_signatures(model):
            if signature.is_encoded and signature.gives_embeddings:
                continue
            # The first signature runs as a server runs it. The others share its network, which need
            # not be rewritten again for each of them.
            with graphs_as_written() if differences else nullcontext():
                inputs = {signature.spec.name: feed(signature, encoded, views)}
                answers = loaded[signature.name](**inputs)
            start = count if signature.spec.dtype.is_integer else 0
            place, key = (1, "embeddings") if signature.gives_embeddings else (0, "probabilities")
            wanted = trained[place][start : start + count]
            scale = max(1.0, float(np.abs(wanted).max()))
            difference = float(np.abs(answers[key].numpy() - wanted).max())
            differences[signature.name] = difference / scale
    _check_differences(differences, len(encoded))
    return Exported(path, len(encoded), max(differences.values()))


def _check_differences(differences: Mapping[str, float], compared: int) -> None:
    for name, difference in differences.items():
        if not difference <= _TOLERANCE:
            raise ExportMismatchError(
                f"The exported model must give what the trained model gives to within "
                f"{_TOLERANCE}. Received: a difference of {difference:.2g} in signature {name!r} "
                f"on {compared} validation pictures. Nothing was kept; please report this "
                "with the run's config."
            )
