"""Tests that Keras's settings of a user's file or notebook neither break a run nor get into it."""

from __future__ import annotations

import json

import keras
import pytest

import tfxfer
from tfxfer.commands.main import main
from tfxfer.errors import InputError
from tfxfer.machine.keras_settings import check_keras_settings, float32_policy

SOUND = {"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow",
         "image_data_format": "channels_last"}  # fmt: skip


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that writes Keras's file of settings."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)

    def write(text: str) -> str:
        (tmp_path / "keras.json").write_text(text)
        return str(tmp_path / "keras.json")

    return write


@pytest.mark.parametrize("backend", ["theano", "cntk", "torch", "numpy", "openvino"])
def test_a_backend_that_is_not_supported_is_refused_with_its_place(backend, write, monkeypatch):
    file = write(json.dumps(SOUND | {"backend": backend}))
    with pytest.raises(InputError, match=f"tensorflow or jax. Received: '{backend}' from {file}"):
        check_keras_settings()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    check_keras_settings()
    monkeypatch.setenv("KERAS_BACKEND", backend)
    with pytest.raises(InputError, match="from the environment variable KERAS_BACKEND"):
        check_keras_settings()


@pytest.mark.parametrize("text", [json.dumps(SOUND), "{}", "", "no JSON"])
def test_other_files_change_nothing(text, write):
    write(text)
    check_keras_settings()


@pytest.mark.parametrize(("text", "kind"), [("[1]", "list"), ("null", "NoneType")])
def test_a_file_that_ends_keras_itself_is_refused(text, kind, write):
    file = write(text)
    with pytest.raises(InputError, match=f"must be a JSON object.*'{file}' with {kind}"):
        check_keras_settings()


@pytest.mark.parametrize(
    ("name", "value", "usual"),
    [("image_data_format", "channels_first", "channels_last"), ("floatx", "float16", "float32")],
)
def test_a_command_ends_with_a_sentence(name, value, usual, picture_folder, capsys, tmp_path):
    change = getattr(keras.config, f"set_{name}")
    change(value)
    try:
        out = tmp_path / "run"
        command = ["train", "--data", str(picture_folder), "--preset", "photos"]
        assert main([*command, "--out", str(out)]) == 2
    finally:
        change(usual)
    error = capsys.readouterr().err
    assert (
        f"Keras's {name} must be {usual}. Received: {value!r} from keras.config.{name}()" in error
    )
    assert not out.exists()


def test_a_policy_of_a_notebook_neither_gets_into_a_model_nor_is_lost(weights_file):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        config = tfxfer.BackboneConfig(name="TinyNet", weights=str(weights_file), image_size_px=32)
        backbone = tfxfer.build_backbone(config)
        head = tfxfer.build_head(tfxfer.HeadConfig(), 3, seed=0)
        model = tfxfer.build_model(backbone, head)
        assert keras.config.dtype_policy().name == "mixed_float16"
    finally:
        keras.config.set_dtype_policy("float32")
    layers = [*model._flatten_layers(), *backbone.network._flatten_layers()]
    assert {layer.dtype_policy.name for layer in layers} == {"float32"}
    assert model.output.dtype == "float32"


def test_the_policy_comes_back_after_an_error():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        with pytest.raises(KeyError), float32_policy():
            assert keras.config.dtype_policy().name == "float32"
            raise KeyError
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
