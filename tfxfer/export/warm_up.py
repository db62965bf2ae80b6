"""Warm-up requests, which TensorFlow Serving runs first so that no user's request is slow.

See https://www.tensorflow.org/tfx/serving/saved_model_warmup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tfxfer.modality import Signature

WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"
# Encoded pictures in it: enough for both kinds of files and a batch, small enough to ship.
_ITEMS = 4


def write_warm_up(
    path: Path,
    name: str,
    signatures: Sequence[Signature],
    *,
    encoded: Sequence[bytes],
    views: tf.Tensor,
) -> None:
    """Write requests for each signature: of single items, and of a batch.

    Args:
        path: The SavedModel's folder.
        name: The name under which it will be served.
        signatures: What the SavedModel can be asked.
        encoded: Typical items; those of middle size are taken.
        views: The same items as the network takes them.
    """
    by_size = sorted(encoded, key=len)
    start = max(0, (len(by_size) - _ITEMS) // 2)
    chosen = by_size[start : start + _ITEMS]
    view = views[:1]
    requests: list[tuple[Signature, tf.Tensor]] = []
    for signature in signatures:
        if signature.is_encoded and not signature.gives_embeddings:
            requests += [(signature, feed(signature, [item], view)) for item in chosen]
            requests.append((signature, feed(signature, chosen, view)))
        else:
            requests.append((signature, feed(signature, chosen[:1], view)))
    file = path / WARM_UP_FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, inputs in requests:
            named = {signature.spec.name: inputs}
            writer.write(_make_log(name, signature.name, named).SerializeToString())


def feed(signature: Signature, encoded: Sequence[bytes], views: tf.Tensor) -> tf.Tensor:
    """Return what a signature takes for some items.

    Args:
        encoded: The items as they lie in files.
        views: The same items as the network takes them.
    """
    if signature.is_encoded:
        return tf.constant(list(encoded))
    dtype = signature.spec.dtype
    return tf.cast(tf.round(views), dtype) if dtype.is_integer else views


def _make_log(
    name: str, signature: str, inputs: Mapping[str, tf.Tensor]
) -> prediction_log_pb2.PredictionLog:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, tensor in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(tensor.numpy()))
    return prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )
