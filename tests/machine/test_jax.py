"""Tests of Keras on JAX, in separate processes; TensorFlow serves the models."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import psutil
import pytest
import tensorflow as tf
from support.small import run_model
from support.spreading import QUICKLY, SETTINGS, assert_alike, run_spread, write_splits
from tensorflow.core.protobuf import saved_model_pb2

from tfxfer.modalities.pictures.decode import decode_picture, resize_picture

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LAUNCH = [sys.executable, str(ROOT / "tools" / "launch_local.py"), "-n", "2", "--"]
# All training pictures are one batch, so that no order of the pictures matters.
BATCH_SIZE = 42


@dataclass
class Done:
    """The results of a process with JAX.

    Attributes:
        ends: The exit codes and messages of its commands.
        metrics: The metrics of a whole run on one device.
        spread: The figures of the same run on two devices.
    """

    folder: Path
    ends: list[tuple[int, str]]
    metrics: dict
    spread: dict


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_splits(tmp_path_factory.mktemp("split"))


@pytest.fixture(scope="module")
def arguments(pictures, weights_file):
    """The arguments of a two-phase run."""
    settings = SETTINGS | {"data.batch_size": BATCH_SIZE, "phases.fine-tune.precision": "auto"}
    chosen = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    network = ["--backbone", "TinyNet", "--weights", str(weights_file)]
    return ["--preset", "photos", "--data", str(pictures), *network, *chosen]


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory, arguments, pictures, weights_file):
    """A finished run, its predictions, refused requests, and the same run on two devices."""
    folder = tmp_path_factory.mktemp("jax")
    run = str(folder / "run")
    shown = [str(path) for path in sorted(pictures.glob("test/*/000.jpg"))]
    commands = [
        ["train", *arguments, "--set", "devices.strategy=single", "--out", run],
        ["predict", run, *shown, "--out", str(folder / "said.jsonl")],
        ["export", run, "--format", "litert_float32", "--out", str(folder / "small")],
        ["train", *arguments, "--set", "features.engine=openvino"],
        [
            "train",
            "--preset",
            "photos",
            "--data",
            str(pictures),
            "--backbone",
            f"hub:{run}/export/1",
        ],
        ["train", *arguments, "--set", "phases.fine-tune.unfreeze=1", "--dry-run"],
    ]
    ends, figures = run_spread(
        "jax", folder, pictures, weights_file, BATCH_SIZE, ["auto"], commands
    )
    assert ends[0][0] == 0, ends[0][1]
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    return Done(folder, ends, metrics, figures["auto"])


def test_the_main_job_runs_on_jax(on_jax):
    metrics = on_jax.metrics
    assert metrics["versions"]["backend"] == "jax"
    assert metrics["engine"] == "jax"
    assert metrics["test.accuracy"] == 1.0
    head, fine_tune = metrics["phases"]
    assert (head["solver"], fine_tune["solver"]) == ("logistic", "adamw")
    assert len(fine_tune["history"]["val_accuracy"]) == fine_tune["epochs"]
    assert 0 < metrics["export"]["max_difference"] < 1e-4


def test_what_jax_has_trained_is_served_by_tensorflow(on_jax, picture_folder):
    folder = on_jax.folder
    served = tf.saved_model.load(str(folder / "run" / "export" / "1")).signatures
    model = keras.models.load_model(folder / "run" / "model.keras")
    files = [path.read_bytes() for path in sorted(picture_folder.glob("*/00[0-2].jpg"))]
    pictures = np.stack([resize_picture(decode_picture(file, 32), 32) for file in files])
    trained = run_model(model, pictures)
    for name, inputs in {
        "serving_default": {"pictures": tf.constant(pictures)},
        "serve_bytes": {"image_bytes": tf.constant(files)},
    }.items():
        given = served[name](**inputs)["probabilities"].numpy()
        np.testing.assert_allclose(given, trained, atol=1e-4)
    # The program takes any number of pictures, which it does not know beforehand.
    alone = served["serving_default"](pictures=tf.constant(pictures[:1]))
    assert alone["labels"].numpy()[0, 0] == b"amber"


def test_what_jax_has_trained_is_served_on_every_platform(on_jax):
    """By default, a program exported on a GPU or TPU would not run on a CPU."""
    written = saved_model_pb2.SavedModel()
    written.ParseFromString((on_jax.folder / "run/export/1/saved_model.pb").read_bytes())
    programs = [
        node.attr["platforms"].list.s
        for function in written.meta_graphs[0].graph_def.library.function
        for node in function.node_def
        if node.op == "XlaCallModule"
    ]
    assert programs
    for platforms in programs:
        assert set(platforms) == {b"CPU", b"CUDA", b"ROCM", b"TPU"}


def test_jax_predicts_with_what_it_has_trained(on_jax):
    code, messages = on_jax.ends[1]
    assert code == 0, messages
    rows = [json.loads(line) for line in (on_jax.folder / "said.jsonl").read_text().splitlines()]
    assert [row["labels"][0] for row in rows] == ["amber", "blue", "green"]


@pytest.mark.parametrize(
    ("position", "said"),
    [
        (2, "The converter to litert_float32 is TensorFlow's own"),
        (3, "engine must be auto, or one for Keras on jax: xla, jax"),
        (4, "A hub module's program is TensorFlow's own"),
    ],
)
def test_what_is_tensorflows_own_says_so(on_jax, position, said):
    code, messages = on_jax.ends[position]
    assert code == 2
    assert said in messages
    assert "KERAS_BACKEND=jax" in messages


def test_the_plan_is_made_on_jax(on_jax):
    code, messages = on_jax.ends[5]
    assert code == 0, messages
    assert "fine-tune" in messages


def test_two_devices_on_jax_give_what_one_gives(on_jax):
    assert on_jax.spread["devices"] == 2
    assert_alike(on_jax.spread, on_jax.metrics)


def test_two_processes_go_on_after_one_was_killed_and_give_what_one_gives(
    on_jax, arguments, tmp_path
):
    command = [*LAUNCH, *arguments, "--out", str(tmp_path / "run")]
    environment = QUICKLY | {"TFXFER_CACHE": str(tmp_path / "cache")}
    with (
        open(tmp_path / "errors", "w+") as errors,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as launched,
    ):
        for line in launched.stdout:
            if "✓ head" in line:
                break
        _, second = sorted(psutil.Process(launched.pid).children(), key=lambda each: each.pid)
        second.send_signal(signal.SIGKILL)
        assert launched.wait(timeout=60) == 1
        errors.seek(0)
        assert "Received: process 1 ended with signal 9" in errors.read()
    assert not (tmp_path / "run").exists()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "goes on after phase 'head'" in done.stdout
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert_alike(metrics, on_jax.metrics)
