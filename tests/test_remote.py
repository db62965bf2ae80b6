"""Models behind a server, over REST and gRPC on the loopback."""

from __future__ import annotations

import base64
import json
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

import tfxfer
from tfxfer.errors import InputError
from tfxfer.export.saved_model import write_saved_model
from tfxfer.prediction.load import load_predictor
from tfxfer.prediction.remote import split_by_bytes

CLASSES = ("amber", "blue", "grün")


@pytest.fixture(scope="module")
def saved(weights_file, tmp_path_factory):
    """A SavedModel, as TensorFlow Serving loads it."""
    config = tfxfer.BackboneConfig(
        name="MobileNet", weights=str(weights_file), alpha=0.25, image_size_px=32
    )
    head = tfxfer.build_head(tfxfer.HeadConfig(), 3, seed=0)
    model = tfxfer.build_model(tfxfer.build_backbone(config), head)
    path = tmp_path_factory.mktemp("served") / "1"
    write_saved_model(model, CLASSES, path)
    return path


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """What TensorFlow Serving does with a request, over a SavedModel."""

    def __init__(self, path):
        self.loaded = tf.saved_model.load(str(path))

    def ask(self, signature, files):
        return self.loaded.signatures[signature](image_bytes=tf.constant(files))

    def Predict(self, request, context):
        if request.model_spec.name != "colours":
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request")
        files = tf.make_ndarray(request.inputs["image_bytes"]).tolist()
        try:
            outputs = self.ask(request.model_spec.signature_name, files)
        except tf.errors.OpError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        answer = predict_pb2.PredictResponse()
        for key, value in outputs.items():
            answer.outputs[key].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return answer


@pytest.fixture(scope="module")
def grpc_address(saved):
    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(saved), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(0)


@pytest.fixture(scope="module")
def rest_address(saved):
    service = Service(saved)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/models/colours:predict":
                return self.answer(404, {"error": "Servable not found for request"})
            files = [base64.b64decode(row["image_bytes"]["b64"]) for row in request["instances"]]
            try:
                outputs = service.ask(request["signature_name"], files)
            except tf.errors.OpError as error:
                return self.answer(400, {"error": error.message})
            values = {
                key: [[x.decode() if value.dtype == tf.string else x for x in row]
                      for row in value.numpy().tolist()]
                for key, value in outputs.items()
            }  # fmt: skip
            rows = [
                dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)
            ]
            # One output has no name.
            if len(values) == 1:
                rows = next(iter(values.values()))
            return self.answer(200, {"predictions": rows})

        def answer(self, code, value):
            body = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/models"
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["rest_address", "grpc_address"])
def address(request):
    return request.getfixturevalue(request.param)


def test_a_server_says_what_its_model_says(address, saved, own_folder):
    files = sorted(own_folder.glob("*/*.jpg"))
    # Its start is a JPEG's: only the server, which decodes, finds out, and fails with its batch.
    files[4].write_bytes(files[4].read_bytes()[:300])
    (own_folder / "blue" / "page.jpg").write_text("<html>")
    places = [*files, own_folder / "blue" / "page.jpg"]
    here = tfxfer.predict(saved, places, embeddings=True)
    there = tfxfer.predict(f"{address}/colours", places, embeddings=True)
    assert [bool(row.error) for row in there] == [bool(row.error) for row in here]
    assert sum(bool(row.error) for row in there) == 2
    assert there[-1].error == "not a picture"
    for one, other in zip(here, there, strict=True):
        assert one.path == other.path and one.labels == other.labels
        if not one.error:
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
            np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-4)
    assert load_predictor(f"{address}/colours").classes == CLASSES


def test_a_model_that_is_not_served_is_named(address):
    with pytest.raises(InputError, match="Servable not found"):
        load_predictor(f"{address}/birds")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:9/v1/models/x", "A model must be served at its address"),
        ("grpc://127.0.0.1:9/x", "A model must be served at its address"),
        ("http://127.0.0.1:9/models/x", "http://HOST:8501/v1/models/NAME"),
        ("grpc://127.0.0.1:9", "grpc://HOST:8500/NAME"),
    ],
)
def test_an_address_without_a_server_is_named(address, message):
    with pytest.raises(InputError, match=message):
        load_predictor(address)


def test_requests_are_parted_by_their_bytes():
    parts = split_by_bytes([b"aa", b"bbb", b"c" * 9, b"d"], most=5)
    assert parts == [[b"aa", b"bbb"], [b"c" * 9], [b"d"]]
