"""Warm-up requests, which TensorFlow Serving runs first so that no user's request is slow.

See https://www.tensorflow.org/tfx/serving/saved_model_warmup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tfxfer.modalities.pictures.view import plain_view

WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"
# The file holds so many encoded pictures, which is enough for a batch and still small.
_PICTURES = 4


def write_warm_up(path: Path, name: str, encoded: Sequence[bytes], size_px: int) -> None:
    """Write requests for each signature, with single pictures and with a batch.

    Args:
        path: The SavedModel's folder.
        name: The name under which the model will be served.
        encoded: Typical pictures, of which those of medium size are taken.
        size_px: The side of the network's pictures.
    """
    by_size = sorted(encoded, key=len)
    start = max(0, (len(by_size) - _PICTURES) // 2)
    chosen = by_size[start : start + _PICTURES]
    decoded = plain_view(size_px)(chosen[0])[tf.newaxis]
    requests: list[tuple[str, Mapping[str, tf.Tensor]]] = [
        *(("serve_bytes", {"image_bytes": tf.constant([item])}) for item in chosen),
        ("serve_bytes", {"image_bytes": tf.constant(chosen)}),
        ("features_bytes", {"image_bytes": tf.constant(chosen[:1])}),
        ("serving_default", {"pictures": decoded}),
        ("features", {"pictures": decoded}),
        ("serve_uint8", {"pictures": tf.cast(tf.round(decoded), tf.uint8)}),
    ]
    file = path / WARM_UP_FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, inputs in requests:
            writer.write(_make_log(name, signature, inputs).SerializeToString())


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
