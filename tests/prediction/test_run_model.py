"""Tests that models are read back, and that hub modules are made of them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.small import load_tool

import tfxfer
from tfxfer import run
from tfxfer.backbones.build import build_backbone
from tfxfer.backbones.levels import add_levels
from tfxfer.backbones.whole import build_model
from tfxfer.config.backbone import BackboneConfig
from tfxfer.errors import InputError
from tfxfer.tasks.heads import build_head

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["model.keras", "run"])
def test_what_is_no_model_is_named(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "model.keras").write_text("no archive")
    with pytest.raises(InputError, match=r"a run's folder or a .keras file. Received: "):
        tfxfer.load_model(tmp_path / name)


def test_a_model_of_unknown_layers_is_named(small_backbone, small_head, tmp_path):
    build_model(small_backbone, small_head).save(tmp_path / "whole.keras")
    with (
        zipfile.ZipFile(tmp_path / "whole.keras") as whole,
        zipfile.ZipFile(tmp_path / "model.keras", "w") as other,
    ):
        for name in whole.namelist():
            content = whole.read(name)
            if name == "config.json":
                content = content.replace(b"DepthwiseConv2D", b"UnheardOfConv2D")
            other.writestr(name, content)
    with pytest.raises(InputError, match=r"must hold a whole model of this version's layers"):
        tfxfer.load_model(tmp_path / "model.keras")


def make_module(*arguments: object) -> subprocess.CompletedProcess:
    """Call the tool as a user does."""
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_hub_module.py"), *map(str, arguments)],
        env={"PYTHONPATH": f"{os.environ['PYTHONPATH']}:{ROOT}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_the_tool_makes_a_module_of_a_run_s_backbone(
    weights_file, small_head, tmp_path, monkeypatch, capsys
):
    settings = {"backbone.image_size_px": 32, "head.levels": 3}
    config = tfxfer.load_config(
        "photos", backbone="TinyNet", weights=weights_file, settings=settings
    )
    backbone = build_backbone(config.backbone)
    folder = tmp_path / "run"
    folder.mkdir()
    run.write_config(folder, config)
    network = backbone.network
    network.set_weights([0.9 * weight for weight in network.get_weights()])  # It looks fine-tuned.
    trained = add_levels(backbone, config.head.levels)
    build_model(trained, build_head(config.head, 3, seed=0)).save(folder / run.MODEL)
    given = ["--run", str(folder), "--out", str(tmp_path / "module")]
    monkeypatch.setattr(sys, "argv", ["make_hub_module.py", *given])
    assert load_tool("make_hub_module").main() == 0
    assert "pictures of 32 px" in capsys.readouterr().out
    module = build_backbone(BackboneConfig(name=f"hub:{tmp_path / 'module'}"))
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    given = build_model(module, small_head)(pictures, training=False)
    expected = build_model(backbone, small_head)(pictures, training=False)
    np.testing.assert_allclose(given, expected, atol=1e-5)
    missing = make_module("--run", tmp_path, "--out", tmp_path / "other")
    assert missing.returncode == 2
    assert "--run takes a run's folder" in missing.stderr
