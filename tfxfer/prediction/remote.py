"""Models behind a TensorFlow Serving, asked by REST or by gRPC: files go as they are."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tfxfer.data.decode import READABLE, sniff
from tfxfer.errors import InputError
from tfxfer.prediction.predictor import Prediction, PredictionError, Predictor
from tfxfer.prediction.prepare import refuse_palette

# A server that takes longer for a batch is taken for dead.
_TIMEOUT_SECONDS = 60.0
# Of files in one request: gRPC's servers take 4 MB and more, REST's grow by a third in base64.
_MOST_BYTES = 32 * 2**20
_MOST_ANSWER_BYTES = 64 * 2**20
_SIGNATURE, _FEATURES = "serve_bytes", "features_bytes"
_REST = re.compile(r"https?://[^/]+/v\d+/models/[^/:]+(/(versions/\d+|labels/[^/:]+))?/?")
_GRPC = re.compile(r"grpc://(?P<host>[^/]+)/(?P<name>[^/]+)(/(?P<version>\d+))?/?")

# From a signature and encoded pictures to outputs by name.
Ask = Callable[[str, Sequence[bytes]], dict[str, np.ndarray]]


def connect_rest(address: str, with_embeddings: bool) -> Predictor:
    """A model at ``http://HOST:PORT/v1/models/NAME``, or below it ``/versions/N``.

    Raises:
        InputError: the address is another one, nothing answers, or the model is not tfxfer's.
    """
    import requests

    if not _REST.fullmatch(address):
        raise InputError(
            "The address of a model by REST is http://HOST:8501/v1/models/NAME, with /versions/N "
            f"behind it or not. Received: {address!r}. Correct it."
        )
    session = requests.Session()

    def ask(signature: str, encoded: Sequence[bytes]) -> dict[str, np.ndarray]:
        instances = [{"image_bytes": {"b64": base64.b64encode(e).decode()}} for e in encoded]
        request: Any = {"signature_name": signature, "instances": instances}
        try:
            answer = session.post(
                f"{address.rstrip('/')}:predict", json=request, timeout=_TIMEOUT_SECONDS
            )
        except requests.RequestException as error:
            raise _unreachable(address, type(error).__name__) from error
        if answer.status_code in (404, 503):
            raise _unreachable(address, _reason(answer))
        if not answer.ok:
            raise PredictionError(_reason(answer))
        return _by_output(answer.json()["predictions"], signature)

    return _make_predictor(address, ask, with_embeddings)


def connect_grpc(address: str, with_embeddings: bool) -> Predictor:
    """A model at ``grpc://HOST:PORT/NAME``, or ``…/NAME/VERSION``; not encrypted.

    Raises:
        InputError: as of `connect_rest`.
    """
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    parts = _GRPC.fullmatch(address)
    if parts is None:
        raise InputError(
            "The address of a model by gRPC is grpc://HOST:8500/NAME, with /VERSION behind it or "
            f"not. Received: {address!r}. Correct it."
        )
    limits = [(f"grpc.max_{way}_message_length", _MOST_ANSWER_BYTES) for way in ("send", "receive")]
    channel = grpc.insecure_channel(parts["host"], limits)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    gone = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.NOT_FOUND)  # fmt: skip

    def ask(signature: str, encoded: Sequence[bytes]) -> dict[str, np.ndarray]:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = parts["name"]
        request.model_spec.signature_name = signature
        if parts["version"]:
            request.model_spec.version.value = int(parts["version"])
        files = np.array(list(encoded), object)
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(files, tf.string))
        try:
            answer = stub.Predict(request, timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            if error.code() in gone:
                raise _unreachable(address, error.details()) from error
            raise PredictionError(_shorten(error.details())) from error
        return {key: tf.make_ndarray(value) for key, value in answer.outputs.items()}

    return _make_predictor(address, ask, with_embeddings)


def _make_predictor(address: str, ask: Ask, with_embeddings: bool) -> Predictor:
    """Ask for one picture, to learn the names of the classes, and then for batches."""
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    probe = [picture.getvalue()]
    try:
        answer = ask(_SIGNATURE, probe)
        if with_embeddings:
            ask(_FEATURES, probe)
        classes = tuple(_to_text(name) for name in answer["classes"][0])
    except (PredictionError, KeyError) as error:
        raise InputError(
            f"A served model must be one that tfxfer has exported, with signatures {_SIGNATURE} "
            f"and {_FEATURES}. Received: {address!r} ({error}). Serve what tfxfer export writes."
        ) from error

    def run(encoded: Sequence[bytes]) -> Prediction:
        probabilities, embeddings = [], []
        for part in split_by_bytes(encoded):
            probabilities.append(ask(_SIGNATURE, part)["probabilities"])
            if with_embeddings:
                embeddings.append(ask(_FEATURES, part)["embeddings"])
        return Prediction(
            np.concatenate(probabilities).astype(np.float32),
            np.concatenate(embeddings).astype(np.float32) if with_embeddings else None,
        )

    return Predictor(address, classes, _check, run)


def _check(encoded: bytes) -> bytes:
    """Refuse what is no picture before it is sent."""
    kind = sniff(encoded[:32])
    if not encoded:
        raise PredictionError("empty file")
    if kind is None:
        raise PredictionError("not a picture")
    if kind not in READABLE:
        raise PredictionError(f"a {kind} file; convert it to JPEG or PNG")
    refuse_palette(encoded)
    if len(encoded) > _MOST_BYTES:
        raise PredictionError(f"of more than {_MOST_BYTES // 2**20} MiB, too large to be sent")
    return encoded


def split_by_bytes(encoded: Sequence[bytes], most: int = _MOST_BYTES) -> list[list[bytes]]:
    """Part files so that each part has at most so many bytes, or is a single file."""
    parts: list[list[bytes]] = [[]]
    size = 0
    for each in encoded:
        if parts[-1] and size + len(each) > most:
            parts.append([])
            size = 0
        parts[-1].append(each)
        size += len(each)
    return parts


def _by_output(rows: list[Any], signature: str) -> dict[str, np.ndarray]:
    """Outputs by name; REST gives a row a picture, and no name where there is one output."""
    if isinstance(rows[0], dict):
        return {key: np.array([row[key] for row in rows]) for key in rows[0]}
    key = "embeddings" if signature == _FEATURES else "probabilities"
    return {key: np.array(rows)}


def _to_text(name: Any) -> str:
    return name.decode("utf-8") if isinstance(name, bytes) else str(name)


def _reason(answer: Any) -> str:
    """What the server says is wrong."""
    try:
        text = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        text = answer.text
    return _shorten(f"{answer.status_code}: {text}")


def _shorten(text: str) -> str:
    """The first line without the names of graph nodes, of which servers tell many."""
    line = " ".join(text.split("\n\t [[")[0].split())
    return line if len(line) <= 200 else line[:199] + "…"


def _unreachable(address: str, reason: str) -> InputError:
    return InputError(
        f"A model must be served at its address. Received: {address!r}, which answers "
        f"{_shorten(reason)!r}. Check host, port, name and version, and that the server runs."
    )
