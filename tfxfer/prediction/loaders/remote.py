"""Models on TensorFlow Serving, which are sent encoded pictures by REST or gRPC.

`connect_rest` and `connect_grpc` differ only in how they send a request.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxfer.errors import InputError
from tfxfer.prediction.loaders.served import EMBED, make_predictor, shorten, unreachable
from tfxfer.prediction.predictor import PredictionError, Predictor

_TIMEOUT_SECONDS = 60.0
_MOST_MESSAGE_BYTES = 64 * 2**20
_REST = re.compile(
    r"https?://[^/]+(/[^?#]*)?/v1/models/[^/:?#]+(/(versions/\d+|labels/[^/:?#]+))?", re.I
)
_GRPC = re.compile(r"grpc://(?P<host>[^/]+:\d+)/(?P<name>[^/:]+)(/(?P<version>\d+))?", re.I)
# These answers are about the server and not about the pictures.
_GONE_HTTP = {401, 403, 404, 405, 407, 408, 429, 501, 502, 503, 504}
_GONE_GRPC = {
    "UNAVAILABLE", "DEADLINE_EXCEEDED", "NOT_FOUND", "UNIMPLEMENTED", "UNAUTHENTICATED",
    "PERMISSION_DENIED",
}  # fmt: skip


def connect_rest(address: str, with_embeddings: bool) -> Predictor:
    """Connect to ``http://HOST:8501/v1/models/NAME``, perhaps followed by ``/versions/N``.

    Raises:
        InputError: Nothing answers there, or tfxfer has not exported the model.
    """
    import requests

    place = address.rstrip("/")
    if not _REST.fullmatch(place):
        raise InputError(
            "The address of a model by REST is http://HOST:8501/v1/models/NAME, with /versions/N "
            f"behind it or not. Received: {address!r}. Correct it."
        )
    session = requests.Session()

    def post(body: Any) -> requests.Response:
        url = f"{place}:predict"
        try:
            return session.post(url, json=body, timeout=_TIMEOUT_SECONDS)
        except requests.Timeout:
            raise
        except requests.ConnectionError:
            # The server may have closed the connection that the session kept, so try a new one.
            return session.post(url, json=body, timeout=_TIMEOUT_SECONDS)

    def ask(signature: str, items: Sequence[bytes]) -> dict[str, np.ndarray]:
        instances = [{"image_bytes": {"b64": base64.b64encode(p).decode()}} for p in items]
        try:
            answer = post({"signature_name": signature, "instances": instances})
        except requests.RequestException as error:
            raise unreachable(address, type(error).__name__) from error
        return _read_rest(address, signature, answer)

    return make_predictor(address, ask, with_embeddings)


def _read_rest(address: str, signature: str, answer: Any) -> dict[str, np.ndarray]:
    """Return the outputs in an answer by name; its rows have no names if there is one output."""
    try:
        content = answer.json()
    except ValueError:
        content = {}
    content = content if isinstance(content, dict) else {}
    reason = f"{answer.status_code} {content.get('error') or answer.reason}"
    if answer.status_code in _GONE_HTTP:
        raise unreachable(address, reason)
    if not answer.ok:
        raise PredictionError(shorten(reason))
    try:
        rows = content["predictions"]
        if not isinstance(rows[0], dict):
            return {"embeddings" if signature == EMBED else "probabilities": np.array(rows)}
        return {key: np.array([row[key] for row in rows]) for key in rows[0]}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise unreachable(address, f"{answer.status_code} without rows of predictions") from error


def connect_grpc(address: str, with_embeddings: bool) -> Predictor:
    """Connect to ``grpc://HOST:8500/NAME``, perhaps followed by ``/N`` for a version.

    The connection is not encrypted.

    Raises:
        InputError: Nothing answers there, or tfxfer has not exported the model.
    """
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    parts = _GRPC.fullmatch(address.rstrip("/"))
    if parts is None:
        raise InputError(
            "The address of a model by gRPC is grpc://HOST:8500/NAME, with /VERSION behind it or "
            f"not. Received: {address!r}. Correct it."
        )
    limits = [
        (f"grpc.max_{way}_message_length", _MOST_MESSAGE_BYTES) for way in ("send", "receive")
    ]
    channel = grpc.insecure_channel(parts["host"], limits)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def ask(signature: str, items: Sequence[bytes]) -> dict[str, np.ndarray]:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = parts["name"]
        request.model_spec.signature_name = signature
        if parts["version"]:
            request.model_spec.version.value = int(parts["version"])
        request.inputs["image_bytes"].CopyFrom(
            tf.make_tensor_proto(list(items), tf.string, [len(items)])
        )
        try:
            answer = stub.Predict(request, timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            reason = f"{error.code().name} {error.details()}"
            if error.code().name in _GONE_GRPC:
                raise unreachable(address, reason) from error
            raise PredictionError(shorten(reason)) from error
        return {key: tf.make_ndarray(value) for key, value in answer.outputs.items()}

    return make_predictor(address, ask, with_embeddings)
