"""Tests of presets, overrides and their rules."""

from __future__ import annotations

import pytest

from tfxfer.config.presets import dump_config, load_config, load_data_settings, parse_setting
from tfxfer.errors import InputError


def test_settings_reach_phases_by_name_and_by_number():
    config = load_config(
        "birds", settings={"phases.fine-tune.unfreeze": "all", "phases.0.epochs": 3}
    )
    assert config.phases[1].unfreeze == "all"
    assert config.phases[0].epochs == 3


def test_another_backbone_comes_at_its_own_size_and_width():
    backbone = load_config("birds", backbone="ResNet50").backbone
    assert (backbone.alpha, backbone.image_size_px, backbone.weights) == (None, None, "imagenet")


def test_random_weights_are_trained_as_a_whole():
    phases = load_config("birds", weights="none").phases
    assert all((phase.unfreeze, phase.batch_norm) == ("all", "train") for phase in phases)
    assert [phase.learning_rate for phase in phases] == [2e-3, 1e-3], "no head's rate"
    faster = {"phases.head.learning_rate": 0.5}
    assert load_config("birds", weights="none", settings=faster).phases[0].learning_rate == 0.5


@pytest.mark.parametrize("preset", ["birds", "flowers"])
@pytest.mark.parametrize("weights", [None, "none"])
def test_a_written_config_reads_back_the_same(tmp_path, preset, weights):
    settings = {"seed": 5, "head.kind": "mlp", "phases.0.learning_rate": 0.3}
    settings |= {"phases.0.views": "stream", "phases.1.views": 4, "features.max_disk_gb": 0.5}
    config = load_config(preset, data="tfds:x", weights=weights, settings=settings)
    path = tmp_path / "config.toml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path) == config


def test_paths_are_saved_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"features.cache_dir": "cache"}
    config = load_config("photos", data="here", weights="w.weights.h5", settings=settings)
    assert config.features.cache_dir == str(tmp_path / "cache")
    assert config.data.source == str(tmp_path / "here")
    assert config.backbone.weights == str(tmp_path / "w.weights.h5")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"preset": "bird"}, "Did you mean 'birds'"),
        ({"preset": "gone.toml"}, "which is not there"),
        ({"backbone": "ResNet5"}, "Did you mean 'ResNet50'"),
        ({"settings": {"data.batchsize": 3}}, "Did you mean 'batch_size'"),
        ({"settings": {"phases.0.epoch": 3}}, "Did you mean 'epochs'"),
        ({"settings": {"epochs": 3}}, "unknown key 'epochs'. Did you mean 'phases.NAME.epochs'?"),
        ({"settings": {"batch_size": 3}}, "Did you mean 'data.batch_size'"),
        ({"settings": {"data.image_size": 299}}, "Did you mean 'backbone.image_size_px'"),
        ({"settings": {"backbone.group_column": "x"}}, "Did you mean 'data.split.group_column'"),
        ({"settings": {"backbone": {"alpha": 1}}}, "a table for 'backbone', which would replace"),
        ({"settings": {"data.split": {"test": 1}}}, "by itself: data.split.test=…"),
        ({"settings": ["seed=1"]}, "settings must map dotted keys to values"),
        ({"settings": {1: 1}}, "settings must map dotted keys to values"),
        ({"settings": {"data.splits.seed": 1}}, "Did you mean 'split'"),
        ({"settings": {"split.fold": 1}}, "Did you mean 'data.split'"),
        ({"settings": {"data.flip": True}}, "Did you mean 'augmentation.flip'"),
        ({"settings": {"sead": 3}}, "Did you mean 'seed'"),
        ({"settings": {"phases.finetune.epochs": 3}}, "Did you mean 'fine-tune'"),
        ({"settings": {"phases.7.epochs": 3}}, "number from 0 to 1"),
        ({"settings": {"phases": 3}}, "phases"),
        ({"settings": {"summary.x": 3}}, "--set takes the key of a value"),
        ({"settings": {"seed": "many"}}, "Received: 'many'"),
        ({"settings": {"data.split.validation_fraction": 0.9}}, "less than 0.5"),
        ({"settings": {"phases.0.unfreeze": -1}}, "from 0 up"),
        ({"settings": {"phases.0.batch_norm": "train"}}, "needs unfrozen blocks"),
        ({"settings": {"phases.1.name": "head"}}, "names of their own"),
        ({"settings": {"phases.0.unfreeze": True}}, "unfreeze=True"),
        ({"settings": {"phases.0.learning_rate": float("inf")}}, "finite"),
        ({"settings": {"phases.².epochs": 1}}, "number from 0 to 1"),
        ({"settings": {"phases": [1, 2], "phases.0.epochs": 1}}, "list of tables"),
        ({"settings": {"data.batch_size": 10**23}}, "less than or equal to 65536"),
        ({"settings": {"head": 3}}, "head"),
        ({"weights": "imagnet"}, "Did you mean 'imagenet'"),
        ({"weights": ""}, "weights=''"),
        ({"data": ""}, "data must be a folder of class folders"),
        ({"settings": {"backbone.weights": "embedded", "backbone.alpha": 1.0}}, "embedded"),
        ({"settings": {"phases.0.views": 0}}, "from 1 to 64, or 'stream'"),
        ({"settings": {"phases.0.views": 65}}, "from 1 to 64, or 'stream'"),
        ({"settings": {"phases.0.views": True}}, "views must not be true or false"),
        ({"settings": {"phases.1.mixup": True}}, "mixup must not be true or false"),
        ({"settings": {"features.max_disk_gb": 1e300}}, "less than or equal to"),
        ({"settings": {"features.cache_dir": " "}}, "cache_dir must name a folder"),
        (
            {"data": "photos", "settings": {"features.cache_dir": "photos/cache"}},
            "cache_dir must lie outside of the folder of pictures",
        ),
        (
            {"settings": {"phases.0.solver": "logistic", "head.kind": "mlp"}},
            "solver='logistic' fits a linear head. Received: head.kind='mlp'",
        ),
        ({"settings": {"phases.0.views": "streem"}}, "from 1 to 64, or 'stream'"),
        ({"settings": {"phases.1.solver": "logistic"}}, "in phase 'fine-tune'. Take unfreeze=0"),
        (
            {"settings": {"phases.0.solver": "logistic", "phases.0.views": "stream"}},
            "or solver='adamw'",
        ),
        (
            {"settings": {"phases.0.solver": "logistic", "phases.0.mixup": 0.2}},
            "mixup needs gradient steps",
        ),
        ({"settings": {"phases.0.cutmix": 1.0}}, "cutmix pastes rectangles and needs maps"),
        ({"settings": {"phases.1.mixup": -0.1}}, "greater than or equal to 0"),
        ({"settings": {"phases.1.precision": "float16"}}, "Received: 'float16'"),
        ({"settings": {"features.engine": "onnx"}}, "Received: 'onnx'"),
        ({"settings": {"features.max_disk_gb": -1}}, "greater than or equal to 0"),
        ({"settings": {"features.cachedir": "x"}}, "Did you mean 'cache_dir'"),
        ({"backbone": "VGG16", "settings": {"backbone.alpha": 0.5}}, "MobileNet families"),
        ({"backbone": "VGG16", "weights": "embedded"}, "belong to MobileNetV2"),
        ({"backbone": "VGG16", "weights": "own"}, "belong to a hub module or a KerasHub preset"),
        ({"backbone": "VGG16", "settings": {"backbone.output": "a"}}, "for hub modules"),
        ({"backbone": "hub: "}, "takes a handle or a path"),
        ({"backbone": "hub:m", "weights": "none"}, "brings its weights, and cannot be built"),
        ({"backbone": "hub:m", "settings": {"backbone.mirror": "x"}}, "mirror must be an address"),
        ({"backbone": "hub:m", "settings": {"backbone.alpha": 0.5}}, "MobileNet families"),
        (
            {"backbone": "keras_hub:p", "weights": "imagenet"},
            "A KerasHub preset brings its weights",
        ),
    ],
)
def test_mistakes_are_named_with_what_to_do(arguments, expected):
    with pytest.raises(InputError, match=r"[Rr]eceived|not fit") as caught:
        load_config(**{"preset": "birds", **arguments})
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hub:modules/m", "hub:{here}/modules/m"),
        ("hub:https://tfhub.dev/google/m/1", None),
        ("hub:google/m/tensorFlow2/small/1", None),
        ("keras_hub:vit_base_patch16_224_imagenet", None),
        ("keras_hub:presets/vit", "keras_hub:{here}/presets/vit"),
        ("keras_hub:hf://someone/vit", None),
    ],
)
def test_paths_of_modules_are_absolute_and_handles_are_kept(tmp_path, monkeypatch, name, expected):
    monkeypatch.chdir(tmp_path)
    backbone = load_config("photos", backbone=name).backbone
    assert backbone.name == (expected or name).format(here=tmp_path)
    assert backbone.weights == "own"


def test_frozen_phases_on_random_weights_are_refused():
    with pytest.raises(InputError, match="nothing worth freezing"):
        load_config("birds", settings={"backbone.weights": "none"})
    with pytest.raises(InputError, match=r"phases \['fine-tune'\] that freeze"):
        load_config("birds", weights="none", settings={"phases.fine-tune.unfreeze": 2})


def test_phases_of_another_type_are_named(tmp_path):
    path = tmp_path / "odd.toml"
    path.write_text("phases = 3", encoding="utf-8")
    for arguments in ({}, {"weights": "none"}, {"settings": {"phases.0.epochs": 1}}):
        with pytest.raises(InputError, match="phases"):
            load_config(path, **arguments)


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("phases = [", encoding="utf-8")
    with pytest.raises(InputError, match="must be a readable TOML file"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a.b=3", 3), ("a.b=1e-3", 1e-3), ("a.b=true", True), ("a.b=all", "all"), ("a.b='x'", "x")],
)
def test_a_setting_is_toml_or_a_string(text, value):
    assert parse_setting(text) == ("a.b", value)


def test_a_setting_without_a_value_is_refused():
    with pytest.raises(InputError, match="key=value"):
        parse_setting("seed")


def test_data_are_read_without_a_preset(tmp_path):
    told = load_data_settings(
        tmp_path, {"data.reading.label_column": "species", "augmentation.flip": False}
    )
    assert (told.data.source, told.data.reading.label_column) == (str(tmp_path), "species")
    assert not told.augmentation.flip
    with pytest.raises(InputError, match=r"unknown key 'phases'.* top level: data, augmentation"):
        load_data_settings(tmp_path, {"phases.0.epochs": 3})
    with pytest.raises(InputError, match="must lie outside of the folder of pictures"):
        load_data_settings(tmp_path, {"features.cache_dir": str(tmp_path / "cache")})


def test_phases_that_are_all_wrong_give_no_error_of_their_number():
    settings = {"phases.head.epochs": 1.5, "phases.fine-tune.learning_rate": "fast"}
    with pytest.raises(InputError) as caught:
        load_config("birds", settings=settings)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == [
        "- phases.0.epochs", "- phases.1.learning_rate",
    ]  # fmt: skip
