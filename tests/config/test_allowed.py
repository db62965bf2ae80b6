"""Each list of allowed values is written once, and what has a row for each value has no other."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

import tfxfer
from tfxfer.commands.main import main
from tfxfer.config.features import EngineName
from tfxfer.config.places import ALLOWED_SOURCES, SOURCE_PREFIXES, SOURCES
from tfxfer.config.presets import load_config, load_data_settings
from tfxfer.config.search import TUNERS
from tfxfer.errors import InputError
from tfxfer.features.engines import ENGINES
from tfxfer.kinds import TASKS
from tfxfer.search.oracles import ORACLES
from tfxfer.sources.sources import PREFIXES, list_items


def test_tables_have_a_row_for_each_allowed_value():
    assert tuple(ENGINES) == get_args(EngineName)
    assert tuple(ORACLES) == TUNERS
    assert set(PREFIXES) == set(SOURCE_PREFIXES)
    named = {f"{source.partition(':')[0]}:" for source in SOURCES if ":" in source}
    assert named == set(PREFIXES) - {"dataset:"}, "dataset: is written by tfxfer alone"


@pytest.mark.parametrize("source", ["gone", "gone.csv", "gone.zip", None, " "])
def test_a_source_that_is_none_is_answered_with_all_that_may_be_named(source, tmp_path):
    place = f"{tmp_path}/{source}" if source and source.strip() else source
    with pytest.raises(InputError, match="Received: ") as caught:
        list_items(load_data_settings(place, {}).data, TASKS, tmp_path)
    assert ALLOWED_SOURCES in str(caught.value)


def test_no_other_text_lists_the_sources():
    package = Path(tfxfer.__file__).parent
    holders = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "a folder of class folders" in path.read_text(encoding="utf-8")
    ]
    assert holders == ["config/places.py"]


@pytest.mark.parametrize("command", ["train", "audit"])
def test_help_names_them_as_well(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "arrayrecord:PATTERN" in " ".join(capsys.readouterr().out.split())


def test_an_engine_and_a_tuner_that_are_none_are_answered_with_those_that_are():
    with pytest.raises(InputError, match="xla") as caught:
        load_config("birds", settings={"features.engine": "turbo"})
    assert all(name in str(caught.value) for name in ENGINES)
    with pytest.raises(InputError, match="Did you mean 'hyperband'") as caught:
        tfxfer.tune("birds", tuner="hyperbend", quiet=True)
    assert all(name in str(caught.value) for name in TUNERS)
