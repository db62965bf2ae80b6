"""Servers with TensorFlow Serving's two protocols on the loopback, for a real SavedModel."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


class Served:
    """A loaded SavedModel that answers requests as TensorFlow Serving does, or fails if told to."""

    def __init__(self, loaded):
        self.loaded = loaded
        self.signatures = dict(loaded.signatures)
        del self.signatures["serving_default"]
        self.batches: list[int] = []  # It holds the number of pictures in each request.
        self.before = lambda: None  # It is called before each request is answered.

    def ask(self, name, version, signature, files) -> dict[str, np.ndarray]:
        """Answer a request.

        Raises:
            LookupError: The model or signature is not served.
            ValueError: The request is bad.
        """
        self.before()
        if name != "colours" or version not in (None, 1):
            raise LookupError(f"Servable not found for request: {name}")
        if signature not in self.signatures:
            raise ValueError(f'Serving signature name: "{signature}" not found')
        self.batches.append(len(files))
        try:
            outputs = self.signatures[signature](image_bytes=tf.constant(files))
        except tf.errors.OpError as error:
            raise ValueError(error.message) from error
        return {key: value.numpy() for key, value in outputs.items()}


class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, served):
        self.served = served

    def Predict(self, request, context):
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        files = tf.make_ndarray(request.inputs["image_bytes"]).tolist()
        try:
            outputs = self.served.ask(spec.name, version, spec.signature_name, files)
        except LookupError as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except ConnectionError as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        answer = predict_pb2.PredictResponse()
        for key, value in outputs.items():
            answer.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return answer


def make_handler(served):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model, _, verb = self.path.removeprefix("/v1/models/").rpartition(":")
            name, _, version = model.partition("/versions/")
            files = [base64.b64decode(row["image_bytes"]["b64"]) for row in request["instances"]]
            number = int(version) if version else None
            try:
                assert verb == "predict"
                outputs = served.ask(name, number, request["signature_name"], files)
            except LookupError as error:
                return self.answer(404, {"error": str(error)})
            except ValueError as error:
                return self.answer(400, {"error": str(error)})
            except ConnectionError:
                self.close_connection = True
                return None
            self.answer(200, {"predictions": to_rows(outputs)})

        def answer(self, code, value):
            body = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    return Handler


def to_rows(outputs):
    """Return outputs in TensorFlow Serving's row format, without names if there is one output."""
    lists = {
        key: [[x.decode() for x in row] for row in value] if value.dtype == object
        else value.tolist() for key, value in outputs.items()
    }  # fmt: skip
    if len(lists) == 1:
        return next(iter(lists.values()))
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


@contextmanager
def serve_http(handler) -> Iterator[int]:
    """Give the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@contextmanager
def serve_grpc(served) -> Iterator[int]:
    """Give the port."""
    # TensorFlow Serving has no limit of its own either.
    limit = [("grpc.max_receive_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(2), options=limit)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Servicer(served), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(0).wait()
