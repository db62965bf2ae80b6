"""Tests of the main job on small real pictures: train, check the run folder, serve, replay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from support.parts import train_parts
from support.small import COLOURS, run_model

import tfxfer
from tfxfer.commands.main import main as tfxfer_main
from tfxfer.commands.train import main as train_main
from tfxfer.config.presets import load_config
from tfxfer.errors import InputError
from tfxfer.features.engines import list_candidates
from tfxfer.features.store.cache import list_stored
from tfxfer.machine.processes import ALONE
from tfxfer.modalities.pictures.decode import decode_picture, resize_picture
from tfxfer.modalities.pictures.networks.families import NETWORKS
from tfxfer.report.console import make_console
from tfxfer.training.job import prepare
from tfxfer.training.plan import make_plan

pytestmark = pytest.mark.slow

PHOTOS = "PHOTOS"  # stands for the folder of pictures
RUN_FILES = {
    "classes.txt",
    "config.toml",
    "export",
    "metrics.json",
    "model.keras",
    "tensorboard",
}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    """A cache of this module's own: other modules store features of the same pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFXFER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory, picture_folder, weights_file):
    """A finished two-phase run."""
    out = tmp_path_factory.mktemp("runs") / "run"
    settings = {
        "backbone.image_size_px": 32,
        "data.batch_size": 8,
        "head.levels": 1,
        "phases.head.epochs": 3,
        "phases.head.learning_rate": 0.01,
        "phases.fine-tune.epochs": 3,
        "phases.fine-tune.learning_rate": 0.003,
        "phases.fine-tune.unfreeze": 3,
        "features.engine": "tensorflow",
    }
    result = tfxfer.train(
        "photos",
        data=picture_folder,
        backbone="TinyNet",
        weights=weights_file,
        settings=settings,
        out=out,
        quiet=True,
    )
    return result


def metrics_of(path) -> dict:
    return json.loads((Path(path) / "metrics.json").read_text(encoding="utf-8"))


def test_the_run_folder_holds_what_it_should(finished):
    assert {path.name for path in finished.path.iterdir()} == RUN_FILES
    assert (finished.path / "classes.txt").read_text().split() == sorted(COLOURS)
    assert (finished.path / "export" / "1" / "saved_model.pb").is_file()
    assert list((finished.path / "tensorboard" / "fine-tune" / "train").glob("events*"))
    assert list((finished.path / "tensorboard" / "fine-tune" / "validation").glob("events*"))


def test_the_metrics_are_those_of_the_result(finished):
    metrics = metrics_of(finished.path)
    assert metrics["val.accuracy"] == finished.validation.accuracy
    assert metrics["test.accuracy"] == finished.test.accuracy
    assert metrics["test.macro_f1"] == finished.test.macro_f1
    assert metrics["test.pictures"] == 9
    assert [phase["name"] for phase in metrics["phases"]] == ["head", "fine-tune"]
    head, fine_tune = metrics["phases"]
    assert (head["solver"], head["epochs"], head["history"]) == ("logistic", 0, {})
    assert (head["cut"], head["views"], head["precision"]) == ("pooled", 1, "float32")
    assert (fine_tune["solver"], fine_tune["cut"], fine_tune["views"]) == ("adamw", "stage3", 3)
    assert fine_tune["precision"] in ("float32", "bfloat16_rewrite", "mixed_bfloat16")
    assert len(fine_tune["history"]["val_accuracy"]) == fine_tune["epochs"]
    assert metrics["engine"] == "tensorflow"
    for phase in metrics["phases"]:
        assert 0 < phase["input_seconds"] + phase["prefix_seconds"] < phase["seconds"]
        assert phase["bottleneck"] in ("input", "prefix", "suffix")
    trainable = metrics["parameters"]["trainable"]
    assert trainable["head"] == 48 * 3 + 3 < trainable["fine-tune"]
    assert metrics["parameters"]["total"] == metrics["parameters"]["backbone"] + trainable["head"]
    assert metrics["seed"] == 0
    assert {"python", "tensorflow", "keras", "tfxfer"} <= set(metrics["versions"])
    assert metrics["device"].startswith(("CPU", "GPU"))


def test_the_colours_are_learned(finished):
    assert finished.test.accuracy == 1.0
    assert finished.validation.accuracy == finished.phases[-1].val_accuracy


def test_the_model_predicts_from_pictures_as_they_are(finished, picture_folder):
    model = keras.models.load_model(finished.path / "model.keras")
    assert not [layer for layer in model._flatten_layers() if "Random" in type(layer).__name__]
    for index, name in enumerate(sorted(COLOURS)):
        encoded = next((picture_folder / name).iterdir()).read_bytes()
        picture = resize_picture(decode_picture(encoded), 32)[None]
        assert run_model(model, picture).argmax() == index


PLAIN_TENSORFLOW = r"""
import json, sys
for name in ("keras", "tf_keras", "tfxfer"):
    sys.modules[name] = None  # importing it fails
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
signatures = tf.saved_model.load(sys.argv[1]).signatures
encoded = [open(path, "rb").read() for path in sys.argv[2:]]
by_bytes = signatures["serve_bytes"](image_bytes=tf.constant(encoded))
pictures = np.stack([tf.image.resize(tf.io.decode_jpeg(e, channels=3), (32, 32), antialias=True)
                     for e in encoded])
by_picture = signatures["serving_default"](pictures=tf.constant(pictures))
by_uint8 = signatures["serve_uint8"](pictures=tf.constant(pictures.round().astype(np.uint8)))
place = encoded[0].index(b"\xff\xc0") + 5
bomb = encoded[0][:place] + b"\x7f\xff\x7f\xff" + encoded[0][place + 4:]
try:
    signatures["serve_bytes"](image_bytes=tf.constant([bomb]))
except tf.errors.InvalidArgumentError as error:
    assert "at most 178,956,970 pixels" in error.message, error.message
else:
    raise AssertionError("a thousand million pixels were decoded")
warm_up, replayed = sys.argv[1] + "/assets.extra/tf_serving_warmup_requests", set()
for record in tf.data.TFRecordDataset(warm_up):
    request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
    inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
    signatures[request.model_spec.signature_name](**inputs)
    replayed.add(request.model_spec.signature_name)
assert replayed == set(signatures), replayed
print(json.dumps([{"probabilities": answer["probabilities"].numpy().tolist(),
                   "classes": answer["classes"].numpy().astype(str).tolist(),
                   "labels": answer["labels"].numpy().astype(str).tolist(),
                   "scores": answer["scores"].numpy().tolist()}
                  for answer in (by_bytes, by_picture, by_uint8)]))
"""


def test_the_export_serves_and_warms_up_in_plain_tensorflow(finished, picture_folder):
    assert finished.exported.max_difference < 1e-4
    assert finished.exported.pictures_compared == 9
    assert finished.exported.path == finished.path / "export" / "1"
    paths = [next((picture_folder / name).iterdir()) for name in sorted(COLOURS)]
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_TENSORFLOW, finished.path / "export" / "1", *paths],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": ""},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.strip().splitlines()[-1])
    model = keras.models.load_model(finished.path / "model.keras")
    pictures = np.stack([resize_picture(decode_picture(p.read_bytes()), 32) for p in paths])
    expected = run_model(model, pictures)
    rounded = run_model(model, np.round(pictures))
    for answer, wanted in zip(answers, (expected, expected, rounded), strict=True):
        np.testing.assert_allclose(answer["probabilities"], wanted, atol=1e-4)
        assert [labels[0] for labels in answer["labels"]] == sorted(COLOURS)
        np.testing.assert_allclose(answer["scores"], -np.sort(-wanted), atol=1e-4)
        assert answer["classes"] == [sorted(COLOURS)] * 3


def assert_same_run(ours, theirs) -> None:
    assert ours.test == theirs.test
    assert ours.validation == theirs.validation
    for our, their in zip(ours.phases, theirs.phases, strict=True):
        assert our.history == their.history
        assert (our.val_accuracy, our.val_cross_entropy, our.best_epoch) == (
            their.val_accuracy,
            their.val_cross_entropy,
            their.best_epoch,
        )


def test_the_saved_config_replays_the_run_with_the_same_metrics(finished, tmp_path):
    again = train_parts(load_config(finished.path / "config.toml"), tmp_path)
    assert [phase.prefix_seconds for phase in again.phases] == [0, 0], "all features were stored"
    assert (again.engine, again.phases[0].views) == ("tensorflow", 1)
    assert_same_run(again, finished)


def test_streamed_views_learn_the_colours_and_store_nothing(finished, tmp_path):
    cache = tmp_path / "cache"
    settings = {f"phases.{name}.views": "stream" for name in ("head", "fine-tune")}
    settings |= {"features.cache_dir": str(cache)}
    result = train_parts(load_config(finished.path / "config.toml", settings=settings), tmp_path)
    assert result.test.accuracy == 1.0
    assert [phase.views for phase in result.phases] == [0, 0]
    assert result.phases[0].solver == "adamw"
    assert result.engine == "tensorflow"
    assert list_stored(cache) == []


def test_a_taken_folder_is_kept_unless_overwritten(finished, tmp_path):
    with pytest.raises(InputError, match="--overwrite"):
        tfxfer.train(finished.path / "config.toml", out=finished.path, quiet=True)
    assert {path.name for path in finished.path.iterdir()} == RUN_FILES


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    finished, picture_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path / "cache"))
    preset = str(finished.path / "config.toml")
    assert train_main(["--preset", preset, "--dry-run"]) == 0
    printed = " ".join(capsys.readouterr().out.split())  # Long paths break lines.
    for expected in ("42 train", "9 validation", "9 test", "6 blocks", "stage6", "trained",
                     "fine-tune", "run once: 1 view", "run once: 3 views", "logistic regression",
                     "at most", "147", "class by class"):  # fmt: skip
        assert expected in printed, expected
    assert list(tmp_path.iterdir()) == []


def test_random_weights_train_everything_in_a_preset_of_one_s_own(small, picture_folder, tmp_path):
    preset = tmp_path / "mine.toml"
    preset.write_text('[[phases]]\nname = "only"\nepochs = 1\nlearning_rate = 1e-3\n')
    settings = {k: v for k, v in small["settings"].items() if not k.startswith("phases")}
    settings |= {"phases.only.precision": "float32"}
    config = load_config(
        preset, data=picture_folder, backbone="TinyNet", weights="none", settings=settings
    )
    result = train_parts(config, tmp_path)
    assert [len(phase.unfrozen) for phase in result.phases] == [6]
    assert any("no pretrained weights" in note for note in result.plan.notes)


def test_three_phases_unfreeze_step_by_step_without_the_bad_files(small, own_folder, tmp_path):
    (own_folder / "blue" / "empty.jpg").write_bytes(b"")
    settings = {
        key: value for key, value in small["settings"].items() if not key.startswith("phases")
    }
    settings |= {"data.reading.on_bad": "quarantine", "features.engine": "auto"}
    for position, name in enumerate(("head", "top", "deeper")):
        settings |= {
            f"phases.{name}.epochs": 1,
            f"phases.{name}.precision": "float32",
            f"phases.{name}.unfreeze": position,
            f"phases.{name}.views": 1,
        }
    result = tfxfer.train(
        "flowers",
        data=own_folder,
        **{**small, "settings": settings},
        out=tmp_path / "run",
    )
    assert [len(phase.unfrozen) for phase in result.phases] == [0, 1, 2]
    (listed,) = json.loads((result.path / "quarantine.json").read_text())
    assert listed == {"path": str(own_folder / "blue" / "empty.jpg"), "reason": "empty file"}
    assert metrics_of(result.path)["quarantined"] == 1
    assert result.engine in list_candidates()
    assert load_config(result.path / "config.toml").features.engine == result.engine


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--preset", "bird"], "Did you mean 'birds'"),
        (["--preset", "birds", "--set", "data.sorce=x"], "Did you mean 'source'"),
        (["--preset", "birds", "--backbone", "MobilNet"], "Did you mean 'MobileNet'"),
        (["--preset", "photos"], "--data names a folder"),
        (["--preset", "photos", "--data", "nowhere"], "which is not there"),
        (["--preset", "birds", "--weights", "gone.h5"], "which is not there"),
        (["--preset", "birds", "--out", "/dev/null/run"], "a file or folder cannot be used"),
        (["--preset", "birds", "--data", PHOTOS, "--set", "phases.1.unfreeze=99"], "0 to 18"),
        (
            [
                "--preset",
                "birds",
                "--data",
                PHOTOS,
                "--set",
                "data.batch_size=480",
                "backbone.image_size_px=8192",
            ],
            "Received: data.batch_size=42. Try --set data.batch_size=",
        ),
    ],
)
def test_mistakes_end_with_code_2_and_leave_nothing(
    arguments, expected, picture_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    named = [str(picture_folder) if argument is PHOTOS else argument for argument in arguments]
    assert train_main(["--out", "run", *named]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert expected in captured.err
    assert list(tmp_path.iterdir()) == []


def test_embedded_weights_on_photographs_are_warned_of(picture_folder):
    config = load_config("birds", data=picture_folder)
    plan = make_plan(config, prepare(config, make_console(is_quiet=True), share=ALONE))
    assert any("know nothing of photographs" in note for note in plan.notes)


def test_an_engine_that_is_not_installed_is_named_before_anything_is_read(
    finished, monkeypatch, tmp_path, capsys
):
    monkeypatch.setitem(sys.modules, "openvino", None)
    arguments = ["--preset", str(finished.path / "config.toml"), "--out", str(tmp_path / "run")]
    assert train_main([*arguments, "--set", "features.engine=openvino"]) == 2
    assert "engine='openvino' needs the package openvino" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_lists_of_presets_and_backbones(capsys):
    assert tfxfer_main(["presets"]) == 0
    printed = capsys.readouterr().out
    assert "eurosat" in printed
    assert "satellites" in printed


def test_the_list_of_backbones_counts_blocks_and_parameters(capsys):
    assert tfxfer_main(["backbones"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert set(rows) == {"network", *NETWORKS}
    assert "23.6 M" in rows["ResNet50"] and " 16 " in rows["ResNet50"]


def test_the_command_is_quiet_and_replays_a_run_with_an_empty_cache(finished, tmp_path):
    """A user's call shows no start-up messages of TensorFlow on either stream."""
    done = subprocess.run(
        [sys.executable, "-m", "tfxfer.train", "--preset", finished.path / "config.toml",
         "--set", f"features.cache_dir={tmp_path / 'empty'}", "--out", tmp_path / "run"],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for expected in ("42 train", "✓ head", "✓ fine-tune", "time: input", "most of it:", "macro F1",
                     "SavedModel", "metrics.json"):  # fmt: skip
        assert expected in done.stdout, expected
    noise = ("WARNING", "oneDNN", "cuda", "I0000", "E0000")
    assert not [word for word in noise if word in done.stdout]
    assert list_stored(tmp_path / "empty")
    ours, theirs = metrics_of(tmp_path / "run"), metrics_of(finished.path)
    assert ours["test.confusion"] == theirs["test.confusion"]
    assert ours["val.cross_entropy"] == theirs["val.cross_entropy"]
    for our, their in zip(ours["phases"], theirs["phases"], strict=True):
        assert our["history"] == their["history"]
        assert our["prefix_seconds"] > 0
