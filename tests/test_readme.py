"""Tests that every command and every Python block in the documents is sound."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest
from support.small import outline

from tfxfer.backbones.blocks import list_blocks
from tfxfer.commands import train, tune
from tfxfer.commands.main import COMMANDS
from tfxfer.config.presets import list_presets, load_config, parse_setting
from tfxfer.modalities.pictures.networks.families import NETWORKS
from tfxfer.search.space import make_space

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *list_presets().values()]


def find_commands() -> list[tuple[str, str]]:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    found = re.findall(r"python -m tfxfer\.(train|tune) (--[^`#\n]+)", text)
    return sorted({(module, command.strip()) for module, command in found if command.strip()})


@pytest.mark.parametrize(("module", "command"), find_commands())
def test_a_documented_command_is_understood(module, command):
    parser = argparse.ArgumentParser()
    {"train": train, "tune": tune}[module].add_arguments(parser)
    arguments = parser.parse_args(shlex.split(command))
    assert arguments.preset
    if arguments.preset in ("NAME", "runs/…/config.toml"):
        return
    config = load_config(
        arguments.preset,
        data=arguments.data,
        backbone=arguments.backbone,
        weights=arguments.weights,
        settings=dict(parse_setting(text) for text in arguments.settings),
    )
    assert config.phases


def find_other_commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    names = "|".join(name for name in COMMANDS if name not in ("train", "tune"))
    return sorted(
        {line.strip() for line in re.findall(rf"^ +tfxfer ((?:{names})[^#\n]*)", text, re.M)}
    )


@pytest.mark.parametrize("command", find_other_commands())
def test_a_documented_command_has_its_arguments(command):
    name, *given = shlex.split(command)
    parser = argparse.ArgumentParser()
    COMMANDS[name][1].add_arguments(parser)
    assert parser.parse_known_args(given)[1] == [], "every word is understood"


def test_the_readme_names_every_command():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"tfxfer {name}" in text or f"tfxfer.{name}" in text, name


def test_the_space_of_the_readme_is_one(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"```toml\n(\[search\].*?)```", text, re.DOTALL)
    preset = tmp_path / "mine.toml"
    photos = list_presets()["photos"].read_text(encoding="utf-8").partition("[search]")[0]
    preset.write_text(photos.replace("levels = 6", "levels = 1") + table)
    config = load_config(preset, backbone="MobileNetV2")
    space = make_space(config, list_blocks(outline("MobileNetV2"), NETWORKS["MobileNetV2"]))
    assert space.depths == (0, 2, 4, 6, 9, 18)
    assert len(space.axes) == 8


def test_the_building_blocks_of_the_readme_run():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (code,) = [block for block in blocks if "build_backbone" in block]
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["model"].output_shape == (None, 5)
    assert [block.name for block in names["backbone"].blocks][-1] == "conv5_block3"
    assert names["model"].trainable_weights


def test_the_readme_names_every_preset_and_no_other_file_is_missing():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in list_presets():
        assert f"`{name}`" in text
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).is_file(), target
