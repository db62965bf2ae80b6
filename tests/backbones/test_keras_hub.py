"""Tests of KerasHub's presets as backbones, which are unfrozen block by block."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from support.small import as_it_was

import tfxfer
from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.build import build_backbone
from tfxfer.backbones.whole import build_model
from tfxfer.config.backbone import BackboneConfig
from tfxfer.config.head import HeadConfig
from tfxfer.errors import InputError
from tfxfer.features.cut import build_prefix, build_suffix, find_cut
from tfxfer.modalities.pictures.networks.hub_families import FAMILIES
from tfxfer.phases.unfreeze import unfreeze_top
from tfxfer.tasks.heads import build_head

pytestmark = pytest.mark.slow

keras_hub = pytest.importorskip("keras_hub")

SIDE = 32
VIT = {"patch_size": 8, "num_layers": 3, "num_heads": 2, "hidden_dim": 16}
RESNET = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 64],
    "stackwise_num_blocks": [2, 2],
    "stackwise_num_strides": [1, 2],
}
# The settings and the blocks of a small network of each family.
SMALL = {
    "ViTBackbone": (
        VIT | {"image_shape": (SIDE, SIDE, 3), "mlp_dim": 32},
        [f"transformer_block_{number}" for number in (1, 2, 3)],
    ),
    "DeiTBackbone": (
        VIT | {"image_shape": (SIDE, SIDE, 3), "intermediate_dim": 32},
        [f"transformer_block_{number}" for number in (1, 2, 3)],
    ),
    "DINOV2Backbone": (
        VIT
        | {
            "image_shape": (SIDE, SIDE, 3),
            "position_embedding_shape": (SIDE, SIDE, 3),
            "intermediate_dim": 32,
        },
        [f"layers_{number}" for number in (0, 1, 2)],
    ),
    "SwinTransformerBackbone": (
        {
            "image_shape": (SIDE, SIDE, 3),
            "embed_dim": 8,
            "depths": [2, 1],
            "num_heads": [2, 2],
            "window_size": 4,
            "patch_size": 2,
        },
        ["stage_0_blocks_0", "stage_0_blocks_1", "stage_1_blocks_0"],
    ),
    "ResNetBackbone": (
        RESNET | {"block_type": "bottleneck_block", "use_pre_activation": True},
        [f"stack{stack}_block{number}" for stack in (0, 1) for number in (0, 1)],
    ),
    "EfficientNetBackbone": (
        {
            "stackwise_width_coefficients": [0.5] * 3,
            "stackwise_depth_coefficients": [1.0] * 3,
            "stackwise_kernel_sizes": [3] * 3,
            "stackwise_num_repeats": [1, 2, 2],
            "stackwise_input_filters": [32, 16, 24],
            "stackwise_output_filters": [16, 24, 40],
            "stackwise_expansion_ratios": [1, 6, 6],
            "stackwise_squeeze_and_excite_ratios": [0.25] * 3,
            "stackwise_strides": [1, 2, 2],
            "stackwise_block_types": ["fused", "unfused", "v1"],
        },
        ["block1a", "block2a", "block2b", "block3a", "block3b", "top"],
    ),
    "VGGBackbone": (
        {"stackwise_num_repeats": [1, 2], "stackwise_num_filters": [4, 8]},
        ["block1", "block2"],
    ),
    "DenseNetBackbone": (
        {"stackwise_num_repeats": [2, 1], "compression_ratio": 0.5, "growth_rate": 4},
        ["stack1_block1", "stack1_block2", "transition1", "stack2_block1"],
    ),
    "MobileNetBackbone": (
        {
            "stackwise_expansion": [[40, 56], [64, 144]],
            "stackwise_num_blocks": [2, 2],
            "stackwise_num_filters": [[16, 16], [24, 24]],
            "stackwise_kernel_size": [[3, 3], [5, 5]],
            "stackwise_num_strides": [[2, 1], [2, 1]],
            "stackwise_se_ratio": [[None, None], [0.25, 0.25]],
            "stackwise_activation": [["relu", "relu"], ["hard_swish", "hard_swish"]],
            "stackwise_padding": [[1, 1], [2, 2]],
            "output_num_filters": 64,
            "depthwise_filters": 8,
            "depthwise_stride": 1,
            "depthwise_residual": False,
            "last_layer_filter": 64,
            "squeeze_and_excite": 0.5,
        },
        ["block_0_0", "block_1_0", "block_1_1", "block_2_0", "block_2_1", "block_3_0"],
    ),
}


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """A function that writes the preset of a small network, once for all tests."""
    written: dict[str, tuple[keras.Model, Path]] = {}

    def write(name: str) -> tuple[keras.Model, Path]:
        if name not in written:
            keras.utils.set_random_seed(1)
            network = getattr(keras_hub.models, name)(**SMALL[name][0])
            folder = tmp_path_factory.mktemp("presets") / name
            network.save_to_preset(folder)
            converter = keras_hub.layers.ImageConverter(
                image_size=(SIDE, SIDE), scale=1 / 127.5, offset=-1.0
            )
            converter.save_to_preset(folder)
            written[name] = network, folder
        return written[name]

    return write


@pytest.fixture(scope="module")
def backbones(presets):
    """A function that builds a preset's backbone, once for all tests that leave it as it is."""
    built: dict[str, Backbone] = {}

    def get(name: str) -> Backbone:
        if name not in built:
            built[name] = build(presets(name)[1])
        return built[name]

    return get


def build(folder: Path, **settings):
    settings = {"image_size_px": SIDE, **settings}
    return build_backbone(BackboneConfig(name=f"keras_hub:{folder}", **settings))


def pictures(count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (count, SIDE, SIDE, 3)).astype(np.float32)


def test_every_family_is_tested():
    assert set(SMALL) == set(FAMILIES)


@pytest.mark.parametrize("name", SMALL)
def test_a_preset_is_taken_apart_into_its_blocks(presets, backbones, name):
    (original, _), backbone = presets(name), backbones(name)
    assert [block.name for block in backbone.blocks] == SMALL[name][1]
    held = {path for block in backbone.blocks for layer in block.layers
            for path in (w.path for w in backbone.network.get_layer(layer).weights)}  # fmt: skip
    assert held == {weight.path for weight in backbone.network.weights}
    assert sum(block.parameters for block in backbone.blocks) == original.count_params()
    # The features are those of KerasHub's own network with the preset's preprocessing.
    expected = np.asarray(original(pictures() / 127.5 - 1, training=False))
    if FAMILIES[name].readout == "token":
        expected = expected[:, 0]
    elif FAMILIES[name].readout == "mean":
        expected = expected.mean(axis=1)
    given = backbone.network(pictures() * backbone.preprocessing.scale[0] - 1, training=False)
    np.testing.assert_allclose(given, expected, atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_prefix_and_suffix_give_what_the_whole_network_gives(backbones, name):
    backbone, head = backbones(name), build_head(HeadConfig(), 3, seed=0)
    expected = build_model(backbone, head)(pictures(), training=False)
    counts = {0, len(backbone.blocks) // 2, len(backbone.blocks) - 1}
    cuts = [find_cut(backbone, head, unfrozen) for unfrozen in counts]
    features = build_prefix(backbone, head, cuts)(pictures(), training=False)
    for cut, part in zip(cuts, features, strict=True):
        given = build_suffix(backbone, head, cut)(part, training=False)
        np.testing.assert_allclose(given, expected, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_it_is_saved_and_loaded(backbones, tmp_path, name):
    model = build_model(backbones(name), build_head(HeadConfig(), 3, seed=0))
    model.save(tmp_path / "model.keras")
    loaded = tfxfer.load_model(tmp_path / "model.keras")
    expected = model(pictures(), training=False)
    np.testing.assert_allclose(loaded(pictures(), training=False), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["ViTBackbone", "MobileNetBackbone"])
def test_only_unfrozen_blocks_move_and_no_statistics(backbones, name):
    backbone, head = backbones(name), build_head(HeadConfig(), 3, seed=0)
    with as_it_was(backbone.network):
        unfrozen = unfreeze_top(backbone.network, backbone.blocks, 2)
        model = build_model(backbone, head)
        model.compile(keras.optimizers.SGD(1.0), "categorical_crossentropy", run_eagerly=True)
        before = {w.path: w.numpy() for w in backbone.network.weights}
        model.train_on_batch(pictures(), np.eye(3)[[0, 1]])
        layers = {layer for block in unfrozen for layer in block.layers}
        allowed = {w.path for layer in layers for w in backbone.network.get_layer(layer).weights}
        moved = {w.path for w in backbone.network.weights if (w.numpy() != before[w.path]).any()}
    assert moved
    assert moved <= allowed
    assert not [path for path in moved if "moving_" in path or "batch_norm" in path]


def test_a_vit_trains_through_both_phases_and_loads_in_a_new_process(
    presets, picture_folder, tmp_path
):
    result = tfxfer.train(
        "photos",
        data=picture_folder,
        backbone=f"keras_hub:{presets('ViTBackbone')[1]}",
        settings={
            "data.batch_size": 8,
            "features.engine": "tensorflow",
            "phases.fine-tune.epochs": 1,
            "phases.fine-tune.precision": "float32",
            "phases.fine-tune.views": 1,
            "phases.fine-tune.unfreeze": 1,
        },
        out=tmp_path / "run",
        quiet=True,
    )
    assert result.phases[1].unfrozen == ("transformer_block_3",)
    assert result.phases[1].cut == "transformer_block_2"
    model = tfxfer.load_model(tmp_path / "run")
    np.save(tmp_path / "pictures.npy", pictures())
    code = (
        "import sys, numpy as np, tfxfer\n"
        "model = tfxfer.load_model(sys.argv[1] + '/run')\n"
        "np.save(sys.argv[1] + '/given.npy', model(np.load(sys.argv[1] + '/pictures.npy')))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=120)
    np.testing.assert_allclose(np.load(tmp_path / "given.npy"), model(pictures()), atol=1e-6)


def test_weights_may_be_random_or_a_file_s(presets, tmp_path):
    original, folder = presets("VGGBackbone")
    first = original.weights[0].numpy()
    assert np.abs(build(folder, weights="none").network.weights[0].numpy() - first).max() > 0
    other = keras_hub.models.VGGBackbone(**SMALL["VGGBackbone"][0])
    other.save_weights(tmp_path / "other.weights.h5")
    loaded = build(folder, weights=str(tmp_path / "other.weights.h5")).network
    np.testing.assert_array_equal(loaded.weights[0].numpy(), other.weights[0].numpy())


def test_mistakes_are_named(presets, backbones, tmp_path):
    folder = presets("ViTBackbone")[1]
    with pytest.raises(InputError, match=r"image_size_px must be 32.*Received: image_size_px=64"):
        build(folder, image_size_px=64)
    with pytest.raises(InputError, match=r"a folder that holds config.json. Received"):
        build(tmp_path / "none")
    (tmp_path / "config.json").write_text(json.dumps({"class_name": "Unknown"}))
    with pytest.raises(InputError, match=r"could not be loaded"):
        build(tmp_path)
    with pytest.raises(InputError, match=r"pooled already: head.pooling must be 'avg'"):
        find_cut(backbones("ViTBackbone"), build_head(HeadConfig(pooling="max"), 3, seed=0), 0)


def test_a_preset_of_no_known_family_is_named(tmp_path):
    network = keras_hub.models.BertBackbone(
        vocabulary_size=8, num_layers=1, num_heads=1, hidden_dim=2, intermediate_dim=2
    )
    network.save_to_preset(tmp_path / "bert")
    with pytest.raises(InputError, match=r"which is a BertBackbone. Take another preset"):
        build(tmp_path / "bert")
