"""Every command and every Python block in the documents is sound."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from tfxfer.presets import list_presets, load_config, parse_setting
from tfxfer.train import add_arguments

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *list_presets().values()]


def find_commands() -> list[str]:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    found = re.findall(r"python -m tfxfer\.train (--[^`#\n]+)", text)
    return sorted({command.strip() for command in found if command.strip()})


@pytest.mark.parametrize("command", find_commands())
def test_a_documented_command_is_understood(command):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args(shlex.split(command))
    if arguments.preset in ("NAME", "runs/…/config.toml"):
        return
    load_config(
        arguments.preset,
        data=arguments.data,
        backbone=arguments.backbone,
        weights=arguments.weights,
        settings=dict(parse_setting(text) for text in arguments.settings),
    )


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
