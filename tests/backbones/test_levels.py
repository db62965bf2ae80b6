"""Tests of heads that read the outputs of several blocks."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from support.cutting import compare_cuts
from support.small import outline, random_weights, small_size_px

import tfxfer
from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.levels import add_levels
from tfxfer.backbones.whole import build_model
from tfxfer.config.head import HeadConfig
from tfxfer.config.presets import load_config
from tfxfer.errors import InputError
from tfxfer.features.cut import find_cut
from tfxfer.modalities.pictures.networks.applications import wrap_network
from tfxfer.modalities.pictures.networks.families import NETWORKS
from tfxfer.tasks.heads import build_head

pytestmark = pytest.mark.slow


def outline_backbone(name: str) -> Backbone:
    return wrap_network(outline(name), NETWORKS[name], small_size_px(name))


def test_the_levels_are_the_blocks_averages_side_by_side():
    keras.utils.set_random_seed(0)
    plain = outline_backbone("MobileNetV2")
    network, backbone = plain.network, add_levels(plain, 3)
    operations = {operation.name: operation for operation in network.operations}
    ends = [operations[block.end].output for block in plain.blocks[:-4:-1]]
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3))
    with random_weights(network):
        maps = keras.Model(network.inputs, ends)(pictures)
        given = backbone.network(pictures)
    expected = np.concatenate([each.numpy().mean(axis=(1, 2)) for each in maps], axis=1)
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-6)
    assert {w.path for w in backbone.network.weights} == {w.path for w in network.weights}
    assert [b.layers for b in backbone.blocks] == [b.layers for b in plain.blocks]


@pytest.mark.parametrize(
    ("name", "levels"),
    [("MobileNetV2", 4), ("VGG16", 9), ("DenseNet121", 6), ("NASNetMobile", 3)],
)
def test_prefix_and_suffix_give_what_the_whole_network_gives(name, levels):
    """This also holds if the cut is above some of the levels, and if all blocks are levels."""
    keras.utils.set_random_seed(0)
    backbone = add_levels(outline_backbone(name), levels)
    with random_weights(backbone.network):
        compare_cuts(backbone, unfrozen=(0, 2))


@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50", "EfficientNetV2B0", "ConvNeXtTiny"])
def test_a_cut_below_all_levels_but_one_goes_through_one_map(name):
    plain = outline_backbone(name)
    head = build_head(HeadConfig(), 3, seed=0)
    backbone = add_levels(plain, 5)
    assert find_cut(backbone, head, 4) == find_cut(plain, head, 4)
    above = find_cut(backbone, head, 3)
    assert not above.is_spatial
    assert above.tensors[0] == find_cut(plain, head, 3).shape or len(above.tensors) > 1


def test_the_head_trains_on_all_levels_and_the_model_survives_saving(small_backbone, tmp_path):
    backbone = add_levels(small_backbone, 4)
    head = build_head(HeadConfig(levels=4), 3, seed=0)
    model = build_model(backbone, head)
    last_block = small_backbone.network.output.shape[-1]
    assert head.layers[-1].kernel.shape[0] == backbone.network.output.shape[-1] > last_block
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(pictures), model(pictures), atol=1e-6)


def test_a_run_with_levels_solves_its_head_and_exports_the_whole_model(
    picture_folder, small, tmp_path
):
    small["settings"] |= {"head.levels": 4}
    result = tfxfer.train("photos", data=picture_folder, out=tmp_path / "run", **small)
    assert (result.phases[0].cut, result.phases[0].solver) == ("pooled", "logistic")
    assert result.phases[1].cut == "stage3"
    assert result.exported.max_difference < 1e-4


def test_a_backbone_that_is_one_block_stays_as_it_is_and_says_so(small_backbone):
    whole = replace(small_backbone, blocks=small_backbone.blocks[:1])
    assert add_levels(whole, 1) is whole
    same = add_levels(whole, 3)
    assert same.network is whole.network
    assert "reads the last block alone" in same.notes[0]


def test_levels_are_averages():
    with pytest.raises(InputError, match=r"levels=3, pooling='max'. Take pooling='avg'"):
        load_config("photos", settings={"head.levels": 3, "head.pooling": "max"})
