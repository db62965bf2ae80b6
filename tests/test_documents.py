"""Tests that what people read is sound: its commands, its Python, its links and its pages."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from support.small import outline

from tfxfer import __all__ as public_names
from tfxfer.backbones.blocks import list_blocks
from tfxfer.commands import train, tune
from tfxfer.commands.main import COMMANDS
from tfxfer.config.presets import list_presets, load_config, parse_setting
from tfxfer.modalities.pictures.networks.families import NETWORKS
from tfxfer.search.space import make_space

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TOP = [ROOT / f"{name}.md" for name in ("CONTRIBUTING", "SECURITY", "CHANGELOG")]
DOCUMENTS = [*PAGES, *TOP]
FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def all_pages() -> str:
    return "\n".join(map(read, PAGES))


def python_blocks(path: Path) -> list[str]:
    return [code for language, code in FENCED.findall(read(path)) if language == "python"]


# Commands


def find_commands() -> list[tuple[str, str]]:
    text = "\n".join(read(path) for path in [*DOCUMENTS, *list_presets().values()])
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
    names = "|".join(name for name in COMMANDS if name not in ("train", "tune"))
    found = re.findall(rf"^ +tfxfer ((?:{names})[^#\n]*)", all_pages(), re.M)
    return sorted({line.strip() for line in found})


@pytest.mark.parametrize("command", find_other_commands())
def test_a_documented_command_has_its_arguments(command):
    name, *given = shlex.split(command)
    parser = argparse.ArgumentParser()
    COMMANDS[name][1].add_arguments(parser)
    assert parser.parse_known_args(given)[1] == [], "every word is understood"


def test_the_pages_name_every_command():
    text = all_pages()
    for name in COMMANDS:
        assert f"tfxfer {name}" in text or f"tfxfer.{name}" in text, name


def find_settings() -> list[str]:
    text = re.sub(r"`data\.…`|data\.\w+\.…|data\.…", "", all_pages())
    found = re.findall(r"--set ((?:[\w-]+\.)*[\w-]+=[^\s`…|]+)(?=[\s`,)])", text)
    return sorted({setting for setting in found if not setting.endswith(("DIR", "=https://"))})


@pytest.mark.parametrize("setting", find_settings())
def test_a_documented_setting_is_a_key(setting):
    given = dict([parse_setting(setting)])
    backbone = "MobileNetV2" if "backbone.alpha" in given else None
    assert load_config("photos", backbone=backbone, settings=given).phases


def find_tool_commands() -> list[str]:
    text = "\n".join(map(read, DOCUMENTS))
    found = re.findall(r"(?:python|bash) (tools/[^`#\n]+)", text)
    return sorted({command.strip() for command in found})


@pytest.mark.parametrize("command", find_tool_commands())
def test_a_documented_tool_has_its_options(command):
    name, *given = shlex.split(command.partition(" -- ")[0])
    source = read(ROOT / name)
    if name.endswith(".sh"):  # whose arguments go on to another program
        return assert_is_script(source)
    missing = [word for word in given if word.startswith("--") and f'"{word}"' not in source]
    assert not missing


def assert_is_script(source: str) -> None:
    assert source.startswith("#!/usr/bin/env bash")
    assert "set -euo pipefail" in source


# Python and TOML


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_the_python_of_a_page_can_be_parsed(path):
    for code in python_blocks(path):
        assert compile(code, str(path), "exec").co_code


@pytest.mark.slow
def test_the_examples_of_the_page_on_python_run(tmp_path, monkeypatch, weights_file):
    """The settings that all examples share are given a network that is built quickly."""
    monkeypatch.chdir(tmp_path)
    tiny = {"backbone.name": "TinyNet", "backbone.weights": str(weights_file),
            "backbone.alpha": None}  # fmt: skip
    names: dict = {}
    for code in python_blocks(ROOT / "docs" / "api.md"):
        exec(compile(code, "docs/api.md", "exec"), names)
        names["short"] |= tiny
    assert names["config"].backbone.name == names["plan"].backbone == "TinyNet"
    assert 0 <= names["result"].test.accuracy <= 1
    assert names["exported"].path.exists()
    assert names["found"].verdict
    assert names["model"].output_shape == (None, 5), "the last model is that of the blocks"
    assert [block.name for block in names["backbone"].blocks][-1] == "conv5_block3"
    assert names["layer"].weights


def test_the_page_on_python_names_every_public_name():
    text = read(ROOT / "docs" / "api.md")
    missing = [name for name in public_names if f"tfxfer.{name}" not in text]
    assert not missing


def test_the_space_of_the_pages_is_one(tmp_path):
    (table,) = re.findall(r"```toml\n(\[search\].*?)```", all_pages(), re.DOTALL)
    preset = tmp_path / "mine.toml"
    photos = read(list_presets()["photos"]).partition("[search]")[0]
    preset.write_text(photos.replace("levels = 6", "levels = 1") + table)
    config = load_config(preset, backbone="MobileNetV2")
    space = make_space(config, list_blocks(outline("MobileNetV2"), NETWORKS["MobileNetV2"]))
    assert space.depths == (0, 2, 4, 6, 9, 18)
    assert len(space.axes) == 8


# Pages, links and files


def test_the_readme_is_short_and_names_every_preset():
    text = read(ROOT / "README.md")
    assert len(text.splitlines()) <= 200
    for name in list_presets():
        assert f"`{name}`" in text


def anchors_of(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    text = FENCED.sub("", read(path))
    headings = re.findall(r"^#{1,6} +(.+?) *$", text, re.M)
    plain = (re.sub(r"[`*]", "", heading).lower() for heading in headings)
    return {
        "".join(c for c in heading if c in " -_" or unicodedata.category(c)[0] in "LN").replace(
            " ", "-"
        )
        for heading in plain
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_of_a_document_leads_somewhere(path):
    text = FENCED.sub("", read(path))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file).resolve() if file else path
        assert place.is_file(), target
        assert not anchor or anchor in anchors_of(place), target


# A file or folder, which may lie below `tfxfer/`, perhaps with the name of a test in it.
_FILE = r"(?:[\w.-]+/)*[\w-]+\.(?:py|toml|txt|sh|ipynb|md)"
NAMED = re.compile(rf"`({_FILE}|(?:[\w.-]+/)+)(?:::(\w+))?`")


def find_place(name: str) -> Path:
    places = [top / name for top in (ROOT, ROOT / "tfxfer")]
    return next((place for place in places if place.exists()), places[0])


def find_named(text: str) -> list[tuple[Path, str]]:
    """The files and folders that a text names, each with the test that it names in it."""
    return [(find_place(path), name) for path, name in NAMED.findall(text)]


def test_every_file_and_test_that_contributors_read_of_is_there():
    found = find_named(read(ROOT / "CONTRIBUTING.md"))
    assert len(found) > 50
    for path, name in found:
        assert path.exists(), path
        assert not name or f"def {name}(" in read(path), name


def test_every_table_to_add_to_stands_where_contributors_read_that_it_does():
    _, _, section = read(ROOT / "CONTRIBUTING.md").partition("## How to add …")
    named = re.findall(r"((?:`\w+`[^`()]*)+)\(`([\w/]+\.py)`\)", section.partition("\n## ")[0])
    assert len(named) > 12
    for names, file in named:
        source = read(find_place(file))
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"\b{name}\b", source), f"{name} in {file}"


def test_every_room_has_a_line():
    text = read(ROOT / "CONTRIBUTING.md")
    told = {path for path, _ in find_named(text)} - {ROOT / "tfxfer"}
    rooms = {path.parent for path in (ROOT / "tfxfer").rglob("__init__.py")} - {ROOT / "tfxfer"}
    assert not [room for room in rooms if not {room, *room.parents} & told]


def test_the_pages_are_built_without_a_warning(tmp_path):
    strictly = ["--fail-on-warning", "--quiet", "--builder", "html"]
    places = ["--doctree-dir", str(tmp_path / "trees"), "docs", str(tmp_path / "pages")]
    command = [sys.executable, "-m", "sphinx", *strictly, *places]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for page in PAGES[1:]:
        assert "<h1>" in read(tmp_path / "pages" / f"{page.stem}.html")
    assert "--fail-on-warning" in read(ROOT / "tools" / "docs.sh")
