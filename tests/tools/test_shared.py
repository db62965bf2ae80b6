"""Tests with real weights and photographs, if they are available."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from support.parts import judge_model

import tfxfer
from tfxfer.backbones.build import build_backbone
from tfxfer.backbones.whole import build_model
from tfxfer.config.backbone import BackboneConfig
from tfxfer.config.head import HeadConfig
from tfxfer.config.presets import load_config
from tfxfer.errors import InputError
from tfxfer.features.cut import build_prefix, find_cut
from tfxfer.machine.processes import ALONE
from tfxfer.modalities.pictures.networks.hub_module import export_hub_module
from tfxfer.phases.parts import Watch
from tfxfer.tasks.heads import build_head
from tfxfer.training.job import prepare
from tfxfer.training.phase import Turn, train_phase
from tfxfer.training.plan import make_plan

pytestmark = pytest.mark.slow

QUIET = Console(quiet=True)
WEIGHTS = "weights/mobilenetv2_100_224_{}_notop.weights.h5"


@pytest.mark.shared
def test_a_network_that_knows_birds_tells_ten_species_apart(shared, tmp_path):
    """A linear head on 20 pictures of each reaches 0.95 and more; chance is 0.10."""
    preset = tmp_path / "head.toml"
    preset.write_text('[[phases]]\nname = "head"\nlearning_rate = 1e-3\n')
    config = load_config(
        preset,
        data=shared / "data" / "birds10",
        backbone="MobileNetV2",
        weights=shared / WEIGHTS.format("inat_bird"),
        settings={"data.split.shots": 20},
    )
    job = prepare(config, QUIET, share=ALONE)
    train_phase(Turn(job, 0, (), Watch(tmp_path, QUIET)))
    validation, _, _ = judge_model(build_model(job.backbone, job.head), job.items, False)
    assert validation.accuracy >= 0.94
    assert any("no test split" in note for note in make_plan(config, job).notes)


@pytest.mark.shared
def test_a_folder_with_a_gif_in_it_is_refused_by_name(shared, tmp_path):
    with pytest.raises(InputError, match=r"imageNotFound\.gif: a GIF file"):
        tfxfer.train(
            "photos",
            data=shared / "data" / "hymenoptera",
            backbone="MobileNetV2",
            weights=shared / WEIGHTS.format("imagenet"),
            out=tmp_path / "run",
            quiet=True,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.shared
def test_a_module_of_real_weights_gives_the_network_s_features(shared, tmp_path):
    weights = str(shared / WEIGHTS.format("imagenet"))
    original = build_backbone(BackboneConfig(name="MobileNetV2", weights=weights))
    export_hub_module(original, tmp_path / "module")
    module = build_backbone(BackboneConfig(name=f"hub:{tmp_path / 'module'}"))
    head = build_head(HeadConfig(), 10, seed=0)
    paths = sorted((shared / "data" / "birds10" / "validation").glob("*/*"))[::40]
    pictures = tf.stack([tf.io.decode_jpeg(tf.io.read_file(str(path)), 3) for path in paths])
    given, expected = (
        build_prefix(backbone, head, [find_cut(backbone, head, 0)])(tf.cast(pictures, tf.float32))
        for backbone in (module, original)
    )
    np.testing.assert_allclose(given[0], expected[0], atol=1e-5)
    assert np.ptp(expected[0]) > 1
