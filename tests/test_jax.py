"""The main job where Keras runs on JAX, in processes of their own; TensorFlow is what serves it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxfer.data.decode import decode_picture, resize_picture

SETTINGS = {
    "backbone.alpha": 0.25,
    "backbone.image_size_px": 32,
    "data.batch_size": 8,
    "head.levels": 1,
    "phases.fine-tune.epochs": 6,
    "phases.fine-tune.learning_rate": 0.003,
    "phases.fine-tune.unfreeze": 3,
}

# Several commands in one process, since importing takes longer than most of them; their exit codes
# and errors are printed as JSON.
PROGRAM = """
import contextlib, io, json, sys
from tfxfer.cli import main
ends = []
for command in json.load(sys.stdin):
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
        ends.append([main(command)])
    ends[-1].append(errors.getvalue())
print(json.dumps(ends))
"""


def call_on_jax(*commands: list[str]) -> list[list]:
    """Exit codes and messages of some commands of ``tfxfer``."""
    # What is compiled here runs for moments.
    quickly = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
    environment = os.environ | quickly | {"KERAS_BACKEND": "jax", "COLUMNS": "1000"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(commands),
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory, picture_folder, weights_file):
    """A finished two-phase run, its answers, and what was refused."""
    folder = tmp_path_factory.mktemp("jax")
    run = str(folder / "run")
    settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    train = ["train", "--preset", "photos", "--data", str(picture_folder), *settings]
    network = ["--backbone", "MobileNet", "--weights", str(weights_file)]
    pictures = [str(path) for path in sorted(picture_folder.glob("*/000.jpg"))]
    ends = call_on_jax(
        [*train, *network, "--out", run],
        ["predict", run, *pictures, "--out", str(folder / "said.jsonl")],
        ["export", run, "--format", "litert_float32", "--out", str(folder / "small")],
        [*train, *network, "--set", "features.engine=openvino"],
        [*train, "--backbone", f"hub:{folder}"],
        [*train, *network, "--dry-run"],
    )
    return folder, ends


@pytest.mark.slow
def test_the_main_job_runs_on_jax(on_jax):
    folder, ((code, messages), *_) = on_jax
    assert code == 0, messages
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    assert metrics["versions"]["backend"] == "jax"
    assert metrics["engine"] == "jax"
    assert metrics["test.accuracy"] == 1.0
    head, fine_tune = metrics["phases"]
    assert (head["solver"], fine_tune["solver"]) == ("logistic", "adamw")
    assert len(fine_tune["history"]["val_accuracy"]) == fine_tune["epochs"]
    assert 0 < metrics["export"]["max_difference"] < 1e-4


@pytest.mark.slow
def test_what_jax_has_trained_is_served_by_tensorflow(on_jax, picture_folder):
    folder, _ = on_jax
    served = tf.saved_model.load(str(folder / "run" / "export" / "1")).signatures
    model = keras.models.load_model(folder / "run" / "model.keras")
    files = [path.read_bytes() for path in sorted(picture_folder.glob("*/00[0-2].jpg"))]
    pictures = np.stack([resize_picture(decode_picture(file, 32), 32) for file in files])
    trained = model.predict(pictures, verbose=0)
    for name, inputs in {
        "serving_default": {"pictures": tf.constant(pictures)},
        "serve_bytes": {"image_bytes": tf.constant(files)},
    }.items():
        given = served[name](**inputs)["probabilities"].numpy()
        np.testing.assert_allclose(given, trained, atol=1e-4)
    # Any number of pictures, of which the program knows nothing beforehand.
    alone = served["serving_default"](pictures=tf.constant(pictures[:1]))
    assert alone["labels"].numpy()[0, 0] == b"amber"


@pytest.mark.slow
def test_jax_predicts_with_what_it_has_trained(on_jax):
    folder, (_, (code, messages), *_) = on_jax
    assert code == 0, messages
    rows = [json.loads(line) for line in (folder / "said.jsonl").read_text().splitlines()]
    assert [row["labels"][0] for row in rows] == ["amber", "blue", "green"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("position", "said"),
    [
        (2, "The converter to litert_float32 is TensorFlow's own"),
        (3, "engine must be auto, or one for Keras on jax: xla, jax"),
    ],
)
def test_what_is_tensorflows_own_says_so(on_jax, position, said):
    _, ends = on_jax
    code, messages = ends[position]
    assert code == 2
    assert said in messages
    assert "KERAS_BACKEND=jax" in messages


@pytest.mark.slow
def test_the_plan_is_made_on_jax(on_jax):
    _, ends = on_jax
    code, messages = ends[5]
    assert code == 0, messages
    assert "fine-tune" in messages
