"""Tests of models on a server, by REST and gRPC on the loopback, with a real SavedModel."""

from __future__ import annotations

import csv
import os
import signal
import socket
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest
import tensorflow as tf
from support.serving import Served, make_handler, serve_grpc, serve_http
from support.small import load_tool

import tfxfer
from tfxfer.commands.main import main
from tfxfer.errors import InputError
from tfxfer.export.saved_model import write_saved_model
from tfxfer.prediction.load import load_predictor
from tfxfer.prediction.loaders.served import batch_by_bytes

pytestmark = pytest.mark.slow

CLASSES = ("amber", "blue", "grün")


@pytest.fixture(scope="module")
def saved(weights_file, tmp_path_factory):
    """A SavedModel in the form that TensorFlow Serving loads."""
    config = tfxfer.BackboneConfig(name="TinyNet", weights=str(weights_file), image_size_px=32)
    head = tfxfer.build_head(tfxfer.HeadConfig(), 3, seed=0)
    path = tmp_path_factory.mktemp("served") / "1"
    write_saved_model(tfxfer.build_model(tfxfer.build_backbone(config), head), CLASSES, path)
    return path


@pytest.fixture(scope="module")
def loaded(saved):
    """The SavedModel as a server holds it."""
    return tf.saved_model.load(str(saved))


@pytest.fixture(params=["rest", "grpc"])
def server(request, loaded):
    """The served model, and its address."""
    served = Served(loaded)
    if request.param == "rest":
        with serve_http(make_handler(served)) as port:
            yield served, f"http://127.0.0.1:{port}/v1/models"
    else:
        with serve_grpc(served) as port:
            yield served, f"grpc://127.0.0.1:{port}"


def refuse():
    raise ConnectionError("the server is gone")


def dead_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_server_says_what_its_model_says(server, saved, own_folder):
    served, address = server
    version = "/versions/1" if address.startswith("http") else "/1"
    here = tfxfer.predict(saved, own_folder, embeddings=True, probabilities=True)
    for place in (f"{address}/colours", f"{address}/colours{version}/"):
        there = tfxfer.predict(place, own_folder, embeddings=True, probabilities=True)
        assert there[0].error == "" and [r.path for r in there] == [r.path for r in here]
        for one, other in zip(here, there, strict=True):
            assert one.labels == other.labels
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
            np.testing.assert_allclose(one.embedding, other.embedding, rtol=1e-3, atol=1e-4)
    assert load_predictor(f"{address}/colours").classes == CLASSES
    assert max(served.batches) == 18


def test_one_bad_picture_costs_no_other(server, own_folder):
    served, address = server
    files = sorted(own_folder.glob("*/*.jpg"))
    # The header is right, so that only the server decodes the picture, and refuses the batch.
    files[4].write_bytes(files[4].read_bytes()[:-200])
    bad = load_tool("make_bad_folder")
    for name in ("moving.gif", "bomb.png", "moving.webp", "palette.bmp", "empty.jpg", "text.jpg"):
        files.append(own_folder / name)
        files[-1].write_bytes(bad.KINDS[name][0](bad.draw("blue", 1)))
    rows = tfxfer.predict(f"{address}/colours", files, batch_size=32)
    assert [bool(row.labels) for row in rows] == [n != 4 and n < 18 for n in range(24)]
    assert "broken JPEG file" in rows[4].error
    for row in rows[18:]:
        assert bad.KINDS[os.path.basename(row.path)][1] in row.error
    # A picture with an unusable header is not sent.
    assert served.batches == [1, 18, *[1] * 18]


def test_what_is_not_served_is_named(server):
    served, address = server
    with pytest.raises(InputError, match="Servable not found for request: birds"):
        load_predictor(f"{address}/birds")
    version = "/versions/7" if address.startswith("http") else "/7"
    with pytest.raises(InputError, match=r"not found.*host, port, model and version"):
        load_predictor(f"{address}/colours{version}")
    del served.signatures["features_bytes"]
    load_predictor(f"{address}/colours")
    with pytest.raises(InputError, match=r"serve_bytes and features_bytes.*Export the run again"):
        load_predictor(f"{address}/colours", with_embeddings=True)
    served.signatures["serve_bytes"] = lambda image_bytes: {"label": tf.zeros([1, 1])}
    with pytest.raises(InputError, match="that tfxfer has exported"):
        load_predictor(f"{address}/colours")


def test_a_server_that_goes_away_ends_it_and_rows_stay(server, own_folder, tmp_path, capsys):
    served, address = server
    out = tmp_path / "rows.csv"

    def go_away_later():
        if len(served.batches) == 3:  # These are the probe and two batches.
            refuse()

    served.before = go_away_later
    given = ["predict", f"{address}/colours", str(own_folder), "--batch-size", "4"]
    assert main([*given, "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert "A server must answer at the model's address" in told
    assert f"until then are in '{out}.partial'" in told
    with open(f"{out}.partial", encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 8
    served.batches.clear()
    assert main([*given, "--format", "jsonl"]) == 2
    assert len(capsys.readouterr().out.splitlines()) == 8
    # If the server is gone from the start, no file is written.
    assert main([*given, "--out", str(tmp_path / "none.csv")]) == 2
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["photos", "rows.csv.partial"]


def test_a_stopped_command_leaves_nothing_half_written(server, own_folder, tmp_path, capsys):
    served, address = server

    def interrupt_later():
        if len(served.batches) == 3:
            os.kill(os.getpid(), signal.SIGTERM)  # It ends a command as Ctrl-C does.

    served.before = interrupt_later
    given = ["predict", f"{address}/colours", str(own_folder), "--batch-size", "4"]
    assert main([*given, "--out", str(tmp_path / "rows.csv")]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_connection_that_was_closed_meanwhile_is_opened_again(server, own_folder):
    served, address = server
    if address.startswith("grpc"):
        pytest.skip("gRPC does so itself")
    failures = iter([True])

    def fail_once():
        if len(served.batches) == 1 and next(failures, False):
            refuse()

    served.before = fail_once
    rows = tfxfer.predict(f"{address}/colours", own_folder)
    assert not any(row.error for row in rows)


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}/v1/models/x", "grpc://127.0.0.1:{}/x"])
def test_a_dead_port_is_named(address):
    place = address.format(dead_port())
    with pytest.raises(InputError, match=r"A server must answer.*Check that it runs"):
        load_predictor(place)


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("http://127.0.0.1:9/models/x", "http://HOST:8501/v1/models/NAME"),
        ("http://127.0.0.1:9/v1/models/x:predict", "http://HOST:8501/v1/models/NAME"),
        ("grpc://127.0.0.1:9", "grpc://HOST:8500/NAME"),
        ("grpc://127.0.0.1/x", "grpc://HOST:8500/NAME"),
    ],
)
def test_an_address_of_another_form_is_refused(address, form):
    with pytest.raises(InputError, match=f"is {form}.*Correct it"):
        load_predictor(address)


def test_another_web_server_is_no_model():
    class Page(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>welcome</html>")

        def log_message(self, *arguments):
            pass

    with (
        serve_http(Page) as port,
        pytest.raises(InputError, match="200 without rows of predictions"),
    ):
        load_predictor(f"http://127.0.0.1:{port}/v1/models/x")


def test_requests_are_parted_by_their_bytes(server, tmp_path):
    assert list(batch_by_bytes([b"aa", b"bbb", b"c" * 9, b"d"], most=5)) == [
        [b"aa", b"bbb"], [b"c" * 9], [b"d"]
    ]  # fmt: skip
    served, address = server
    bad = load_tool("make_bad_folder")
    paths = []
    for number in range(5):
        # Decoders ignore the bytes behind a picture's end.
        encoded = bad.encode(bad.draw("blue", number), "PNG") + bytes(9 * 2**20)
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(encoded)
    assert not any(row.error for row in tfxfer.predict(f"{address}/colours", paths))
    assert served.batches == [1, 2, 2, 1]
