"""Configs with the keys of `[data]` before they were grouped are read, and the keys answered."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tfxfer import run
from tfxfer.config.data import FORMER_KEYS
from tfxfer.config.former import identify
from tfxfer.config.presets import dump_config, load_config, load_data_settings
from tfxfer.errors import InputError
from tfxfer.search import folder as places

# The config of a run that an earlier version wrote, in which every key of [data] has a value of its
# own but label_separator and group_pattern, which go with none of the others.
FORMER = Path(__file__).with_name("former.toml")
MOVED = {former: key for former, key in FORMER_KEYS.items() if former != key}


def at(config, path):
    for key in path.split("."):
        config = getattr(config, key)
    return config


def test_a_config_that_an_earlier_version_wrote_is_read_with_all_it_says():
    written = tomllib.loads(FORMER.read_text(encoding="utf-8"))["data"]
    assert set(FORMER_KEYS) - set(written) == {"label_separator", "group_pattern"}
    data = load_config(FORMER).data
    for former, value in written.items():
        is_list = isinstance(value, list)
        assert at(data, FORMER_KEYS[former]) == (tuple(value) if is_list else value), former


@pytest.mark.parametrize("former", ["label_separator", "group_pattern"])
def test_the_other_two_keys_are_read_as_well(tmp_path, former):
    config = load_config("photos", data="x.csv", settings={f"data.{FORMER_KEYS[former]}": ";"})
    path = tmp_path / "config.toml"
    path.write_text(identify(config), encoding="utf-8")
    assert f'{former} = ";"' in path.read_text(encoding="utf-8")
    assert load_config(path) == config


def test_it_is_written_with_the_keys_of_today_and_named_as_before(tmp_path):
    config = load_config(FORMER)
    path = tmp_path / "config.toml"
    path.write_text(dump_config(config), encoding="utf-8")
    table = tomllib.loads(path.read_text(encoding="utf-8"))["data"]
    assert not set(MOVED) & set(table) and {"reading", "split"} < set(table)
    assert load_config(path) == config
    assert identify(config) == FORMER.read_text(encoding="utf-8"), "runs that were stopped go on"


def test_folds_and_searches_of_an_earlier_version_go_on(tmp_path):
    config = load_config(FORMER)
    text = FORMER.read_text(encoding="utf-8")
    unfinished = {"config": text, "folds": {"1": {"test": "x"}}}
    (tmp_path / run.UNFINISHED).write_text(json.dumps(unfinished), encoding="utf-8")
    assert run.load_unfinished(tmp_path, config) == {1: {"test": "x"}}
    search = tmp_path / "search"
    search.mkdir()
    (search / places.ASKED).write_text(json.dumps({"config": text, "tuner": "grid"}))
    assert not places.check_folder(search, config, {"tuner": "grid"}, overwrite=False)
    with pytest.raises(InputError, match="begun with another config"):
        places.check_folder(
            search, config.model_copy(update={"seed": 9}), {"tuner": "grid"}, overwrite=False
        )


@pytest.mark.parametrize("former", MOVED)
def test_a_former_key_is_answered_with_its_name_of_today(former, tmp_path):
    told = f"Received: the earlier key data.{former}. Write data.{MOVED[former]} for it."
    preset = tmp_path / "mine.toml"
    mine = f'[data]\n{former} = 1\n[[phases]]\nname = "head"\nlearning_rate = 0.1\n'
    preset.write_text(mine, encoding="utf-8")
    setting = {f"data.{former}": 1}
    for load in (
        lambda: load_config("photos", settings=setting),
        lambda: load_config(FORMER, settings=setting),
        lambda: load_config(preset),
        lambda: load_data_settings("photos", setting),
    ):
        with pytest.raises(InputError) as caught:
            load()
        assert told in str(caught.value)
