"""Tests that an export with other outputs than the model is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.settings import data_config
from support.small import as_it_was, load_tool, run_model
from tensorflow_serving.apis import prediction_log_pb2

import tfxfer
from tfxfer.commands import checks
from tfxfer.config.backbone import BackboneConfig
from tfxfer.config.head import HeadConfig
from tfxfer.data.pipeline import make_evaluation_dataset
from tfxfer.errors import InputError
from tfxfer.export.jax_program import check_readable, is_readable
from tfxfer.export.saved_model import (
    ExportMismatchError,
    choose_encoded,
    compare_export,
    export_saved_model,
    make_views,
)
from tfxfer.modalities.pictures.view import plain_view
from tfxfer.prediction.load import load_predictor
from tfxfer.prediction.predictor import PredictionError
from tfxfer.training.load import load_data

pytestmark = pytest.mark.slow

CLASSES = ("a", "ü, b", "c")


@pytest.fixture(scope="module")
def _model(weights_file):
    backbone = tfxfer.build_backbone(
        BackboneConfig(name="TinyNet", weights=str(weights_file), image_size_px=32)
    )
    return tfxfer.build_model(backbone, tfxfer.build_head(HeadConfig(), 3, seed=0))


@pytest.fixture
def model(_model):
    """A whole model, which is reset for each test."""
    with as_it_was(_model):
        yield _model


@pytest.fixture(scope="module")
def validation(picture_folder):
    return load_data(data_config(source=str(picture_folder)), seed=0).validation


@pytest.fixture(scope="module")
def exported(_model, validation, tmp_path_factory):
    """The model's SavedModel, which tests do not change."""
    path = tmp_path_factory.mktemp("export") / "1"
    return export_saved_model(_model, CLASSES, path, validation, top_k=2, name="colours")


def test_an_export_that_differs_fails_loudly(model, exported, validation):
    assert exported.max_difference < 1e-5
    assert exported.pictures_compared == 9
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + np.array([0.5, 0, 0], np.float32)])
    with pytest.raises(ExportMismatchError, match="must give what the trained model gives"):
        encoded = choose_encoded(validation, 4)
        compare_export(model, exported.path, encoded, make_views(model, validation, 4))


def test_warm_up_requests_are_those_of_a_server(exported):
    """That plain TensorFlow replays them without Keras is a test of a whole run."""
    signatures = tf.saved_model.load(str(exported.path)).signatures
    replayed = []
    place = exported.path / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(place)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "colours"
        inputs = {key: tf.constant(tf.make_ndarray(each)) for key, each in request.inputs.items()}
        outputs = signatures[request.model_spec.signature_name](**inputs)
        shapes = {key: value.shape.as_list() for key, value in outputs.items()}
        replayed.append((request.model_spec.signature_name, shapes))
    names = [name for name, _ in replayed]
    assert set(names) == {
        "serving_default", "serve_uint8", "serve_bytes", "features", "features_bytes",
    }  # fmt: skip
    shapes = dict(replayed)
    assert shapes["serve_bytes"] == {
        "probabilities": [4, 3], "classes": [4, 3], "labels": [4, 2], "scores": [4, 2],
        "valid": [4],
    }  # fmt: skip
    assert shapes["features"] == {"embeddings": [1, 48]}
    listed = (exported.path / "assets" / "classes.txt").read_text(encoding="utf-8")
    assert listed == "a\nü, b\nc\n"


def test_a_saved_model_predicts_as_its_run_does(model, exported, validation, tmp_path):
    shutil.copytree(exported.path, tmp_path / "models" / "7")
    model.save(tmp_path / "model.keras")
    (tmp_path / "classes.txt").write_text("\n".join((*CLASSES, "")), encoding="utf-8")
    encoded = choose_encoded(validation, 5)
    predictions = []
    for place in (tmp_path, tmp_path / "model.keras", tmp_path / "models"):
        predictor = load_predictor(place, with_embeddings=True)
        assert predictor.classes == CLASSES
        assert predictor.input.shape == (32, 32, 3)
        predictions.append(predictor.run([predictor.prepare(item) for item in encoded]))
    for prediction in predictions[1:]:
        np.testing.assert_allclose(
            prediction.probabilities, predictions[0].probabilities, atol=1e-5
        )
        np.testing.assert_allclose(prediction.embeddings, predictions[0].embeddings, atol=1e-4)
    assert load_predictor(tmp_path).run([predictor.prepare(encoded[0])]).embeddings is None
    with pytest.raises(PredictionError, match="a GIF file; convert it"):
        predictor.prepare(b"GIF89a" + b"\0" * 40)
    (tmp_path / "models" / "7" / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(InputError, match="must be whole"):
        load_predictor(tmp_path / "models")
    with pytest.raises(InputError, match="where there is none"):
        load_predictor(tmp_path / "nothing")


def test_served_files_are_what_the_pipeline_sees(model, exported, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    load_tool("make_bad_folder").make_bad_folder(folder)
    data = load_data(data_config(source=str(folder), on_bad="quarantine"), seed=0)
    assert data.quarantined
    pictures = data.train
    dataset = make_evaluation_dataset(pictures, plain_view(32), class_count=3, batch_size=8)
    expected = run_model(model, np.concatenate([x for x, _ in dataset.as_numpy_iterator()]))
    served = tf.saved_model.load(str(exported.path)).signatures["serve_bytes"]
    files = [Path(path).read_bytes() for path in pictures.where()]
    given = served(image_bytes=tf.constant(files))["probabilities"].numpy()
    assert len(files) > 20
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_a_broken_picture_is_no_error_of_the_others_in_its_batch(exported, validation):
    signatures = tf.saved_model.load(str(exported.path)).signatures
    first, second = choose_encoded(validation, 2)
    answers = signatures["serve_bytes"](image_bytes=tf.constant([first, b"broken", second]))
    alone = signatures["serve_bytes"](image_bytes=tf.constant([first, second]))
    assert answers["valid"].numpy().tolist() == [True, False, True]
    for name, values in alone.items():
        given = answers[name].numpy()[[0, 2]]
        if values.dtype.is_floating:  # A batch of another size rounds otherwise.
            np.testing.assert_allclose(given, values.numpy(), atol=1e-6)
        else:
            assert given.tolist() == values.numpy().tolist()
    assert not answers["probabilities"].numpy()[1].any()
    assert answers["labels"].numpy()[1].tolist() == [b"", b""]
    # What an export does not compare by itself is compared here.
    pixels = tf.stack([plain_view(32)(each) for each in (first, second)])
    features = signatures["features"](pictures=pixels)["embeddings"].numpy()
    given = signatures["features_bytes"](image_bytes=tf.constant([first, second]))
    np.testing.assert_allclose(given["embeddings"].numpy(), features, atol=1e-5)
    vectors = signatures["features_bytes"](image_bytes=tf.constant([b"", first]))
    assert vectors["valid"].numpy().tolist() == [False, True]
    assert not vectors["embeddings"].numpy()[0].any() and vectors["embeddings"].numpy()[1].any()
    with pytest.raises(tf.errors.InvalidArgumentError):
        signatures["serve_bytes"](image_bytes=tf.constant([b"broken"]))
    for name in ("serve_bytes", "features_bytes"):
        empty = signatures[name](image_bytes=tf.constant([], tf.string))
        assert {len(values) for values in empty.values()} == {0}


def test_a_jax_whose_programs_cannot_be_read_is_refused(monkeypatch):
    """The error comes before anything is trained, although the export comes last."""
    from jax.experimental import jax2tf
    from tensorflow.compiler.tf2xla.python.xla import call_module

    def convert(function, **settings):
        newer = {"module": b"newer", "version": 10, "platforms": ["CPU"]}
        return lambda given: call_module([given], Tout=[tf.float32], Sout=[[2, 1]], **newer)

    # This is as on a GPU, whose programs TensorFlow on the CPU beside it cannot run.
    monkeypatch.setattr("jax._src.export._export.default_export_platform", lambda: "cuda")
    assert is_readable()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    check_readable()
    assert [check.status for check in checks.check_exports()] == ["ok"]
    monkeypatch.setattr(jax2tf, "convert", convert)
    assert not is_readable()
    with pytest.raises(InputError, match=r"jax .* and tensorflow .* pip install .tfxfer\[jax\]"):
        check_readable()
    (found,) = checks.check_exports()
    assert found.status == "error" and "KERAS_BACKEND=tensorflow" in found.fix
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    check_readable()
    assert list(checks.check_exports()) == []
