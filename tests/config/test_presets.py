"""Tests that every preset is sound, and that its header says what it needs."""

from __future__ import annotations

import pytest
from support.small import outline_network

from tfxfer.backbones.blocks import list_blocks, resolve_unfreeze
from tfxfer.config.presets import list_presets, load_config
from tfxfer.modalities.pictures.networks.families import NETWORKS

REQUIRED = {
    "birds",
    "birds-cub200",
    "cats-dogs",
    "eurosat",
    "flowers",
    "malaria",
    "pets",
    "photos",
}


def test_the_presets_are_there():
    assert set(list_presets()) >= REQUIRED


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_preset_fits_its_backbone(name):
    config = load_config(name)
    assert config.summary
    backbone = config.backbone
    family = NETWORKS[backbone.name]
    network = outline_network(backbone.name, backbone.image_size_px or 96, backbone.alpha)
    blocks = list_blocks(network, family)
    depths = [resolve_unfreeze(phase.unfreeze, blocks) for phase in config.phases]
    assert depths[0] == 0, "phase 1 trains the head alone"
    assert depths == sorted(depths), "later phases unfreeze more"
    assert depths[-1] > 0


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_header_states_command_needs_and_time(name):
    text = list_presets()[name].read_text(encoding="utf-8")
    assert f"python -m tfxfer.train --preset {name}" in text
    assert "# needs:" in text
    assert "# time:" in text
