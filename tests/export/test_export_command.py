"""Tests of `tfxfer export`, which keeps only exports that agree with the run's model."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from google.protobuf import text_format
from support.parts import head_config, train_parts
from support.small import run_model
from tensorflow_serving.config import model_server_config_pb2

import tfxfer
from tfxfer.errors import InputError
from tfxfer.export.export_model import find_fault
from tfxfer.export.formats import FORMATS, resolve_formats
from tfxfer.export.names import default_name
from tfxfer.export.serving_files import new_version
from tfxfer.modalities.pictures.view import plain_view
from tfxfer.prediction.load import load_predictor
from tfxfer.records.exports import ExportedFormat

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(weights_file, picture_folder, tmp_path_factory):
    """A run on pictures of three colours."""
    folder = tmp_path_factory.mktemp("runs") / "colours-20261124-101112"
    return train_parts(head_config(picture_folder, weights_file, head__levels=6), folder)


def test_every_format_gives_what_the_run_gives(finished, picture_folder, tmp_path, capsys):
    names = ["saved_model", "litert_float16", "litert_int8", "onnx", "openvino"]
    rows = tfxfer.export_run(finished.path, names, out=tmp_path / "out")
    assert [row.format for row in rows] == names
    model = keras.models.load_model(finished.path / "model.keras")
    files = sorted(picture_folder.glob("*/01[01].jpg"))[:5]
    pictures = np.stack([plain_view(32)(file.read_bytes()) for file in files])
    expected = run_model(model, pictures)
    printed = capsys.readouterr().out
    for row in rows:
        assert not row.refused
        assert row.path.exists() and row.size_bytes > 10_000
        assert row.pictures == 9
        assert min(row.latency_ms) > 0
        assert row.format in printed
        whole = row.format == "litert_int8"
        predictor = load_predictor(row.path)
        assert predictor.classes == ("amber", "blue", "green")
        for count in (1, 5):
            given = predictor.run(list(pictures[:count])).probabilities
            np.testing.assert_allclose(given, expected[:count], atol=0.15 if whole else 1e-3)
    written = json.loads((tmp_path / "out" / "exports.json").read_text())
    assert [row["format"] for row in written] == [row.format for row in rows]
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    with pytest.raises(InputError, match=r"model.onnx in .* already"):
        tfxfer.export_run(finished.path, ["onnx"], out=tmp_path / "out", quiet=True)


def test_groups_stand_for_several_formats():
    litert = ("litert_float32", "litert_float16", "litert_dynamic", "litert_int8")
    assert resolve_formats(["onnx", "litert"]) == ("onnx", *litert)
    assert resolve_formats(["all", "onnx"]) == ("saved_model", *litert, "onnx", "openvino")


def test_versions_are_counted_and_served(finished, tmp_path):
    base = tmp_path / "models"
    (row,) = tfxfer.export_run(finished.path, out=base, quiet=True, top_k=2)
    assert row.path == base / "1"
    config = text_format.Parse(
        (base / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("colours", "/models/colours")
    assert "num_batch_threads { value: " in (base / "batching.config").read_text()
    compose = (base / "docker-compose.yml").read_text()
    assert "--model_config_file=/models/colours/models.config" in compose
    # Settings that people changed are kept.
    (base / "batching.config").write_text("max_batch_size { value: 8 }\n")
    tfxfer.export_run(finished.path, out=base, quiet=True)
    assert (base / "batching.config").read_text() == "max_batch_size { value: 8 }\n"
    assert load_predictor(base).name == str(base / "2")


def test_a_version_appears_whole_or_not_at_all(tmp_path):
    (tmp_path / "9").mkdir()
    (tmp_path / "10").mkdir()
    seen = []
    with new_version(tmp_path) as (staging, target):
        seen.append({path.name for path in tmp_path.iterdir() if path.name.isdecimal()})
        (staging / "saved_model.pb").write_bytes(b"model")
    assert target.name == "11"
    assert (target / "saved_model.pb").read_bytes() == b"model"
    assert target.stat().st_mode & 0o777 == 0o755
    assert seen == [{"9", "10"}]
    with pytest.raises(KeyboardInterrupt), new_version(tmp_path) as (staging, _):
        raise KeyboardInterrupt
    assert {path.name for path in tmp_path.iterdir()} == {"9", "10", "11"}


@pytest.mark.parametrize(
    ("row", "tolerance", "fault"),
    [
        ({"max_difference": 9e-4}, 1e-3, ""),
        ({"max_difference": 2e-3}, 1e-3, "a difference of 0.002"),
        ({"max_difference": float("nan")}, 1e-3, "a difference of nan"),
        ({"max_difference": 0.4, "accuracy": 0.89}, None, ""),
        ({"max_difference": 0.4, "accuracy": 0.88}, None, "a loss of 2.0 on 50 pictures"),
    ],
)
def test_what_differs_too_much_is_refused(row, tolerance, fault):
    given = ExportedFormat("x", None, "", pictures=50, trained_accuracy=0.9)
    given = ExportedFormat(**(vars(given) | {"accuracy": 0.9} | row))
    reason = find_fault(given, tolerance, 0.015)
    assert fault in reason if fault else reason == ""


def test_a_mistake_is_named(finished, own_folder, tmp_path):
    with pytest.raises(InputError, match="An export needs a run's folder"):
        tfxfer.export_run(tmp_path)
    with pytest.raises(InputError, match="Did you mean 'onnx'"):
        tfxfer.export_run(finished.path, ["onx"], quiet=True)
    (own_folder / "green").rename(own_folder / "grass")
    with pytest.raises(InputError, match="of the run's classes: amber, blue, green"):
        tfxfer.export_run(finished.path, data=own_folder, out=tmp_path / "out", quiet=True)
    with pytest.raises(InputError) as error:
        tfxfer.export_run(finished.path, data=tmp_path / "gone", out=tmp_path / "out", quiet=True)
    assert "name them with --data" in error.value.__notes__[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["my birds/../x", "", "-x", "a b", "caf\u00e9", ".", "x\n"])
def test_a_name_that_no_address_can_hold_is_refused(name, finished, tmp_path):
    with pytest.raises(InputError, match="--name must consist of letters"):
        tfxfer.export_run(finished.path, name=name, out=tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_a_model_is_named_after_its_run(tmp_path):
    assert default_name(tmp_path / "birds-20261124-093011") == "birds"
    assert default_name(tmp_path / "my birds, 2nd") == "my-birds-2nd"


def test_constants_of_a_network_are_not_taken_for_inputs(tmp_path):
    """EfficientNetV2 normalises by constants that are no weights."""
    keras.utils.set_random_seed(0)
    pictures = keras.Input((8, 8, 3), name="pictures")
    normalise = keras.layers.Normalization(mean=[100.0, 120, 90], variance=[9.0, 4, 1])
    pooled = keras.layers.GlobalAveragePooling2D()(normalise(pictures))
    model = keras.Model(pictures, keras.layers.Dense(2, activation="softmax")(pooled))
    shown = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype(np.float32)
    expected = run_model(model, shown)
    (tmp_path / "classes.txt").write_text("a\nb\n")
    for name in ("onnx", "openvino"):
        file = tmp_path / FORMATS[name].file
        FORMATS[name].write(model, file, ("a", "b"), lambda: iter(shown))
        given = load_predictor(file).run(list(shown)).probabilities
        np.testing.assert_allclose(given, expected, atol=1e-5)
    np.testing.assert_allclose(run_model(model, shown), expected, atol=1e-6)
