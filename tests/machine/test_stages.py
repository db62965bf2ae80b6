"""How long the stages of a run take, and which functions they call."""

from __future__ import annotations

import pstats
from types import SimpleNamespace

import pytest

from tfxfer.errors import InputError
from tfxfer.machine import stages
from tfxfer.machine.stages import Stages, profiled


def test_stages_follow_one_another(monkeypatch):
    times = iter([10.0, 12.0, 15.0, 25.0, 26.0, 27.0])
    monkeypatch.setattr(stages, "time", SimpleNamespace(monotonic=lambda: next(times)))
    clock = Stages()
    clock.end("network")
    clock.end("plan")
    clock.skip()
    clock.end("export")
    clock.end("network")
    assert clock.started == 10
    assert clock.seconds == {"network": 3, "plan": 3, "export": 1}
    assert Stages(5.0).started == 5


def test_a_profile_names_the_functions_that_were_called(tmp_path):
    file = tmp_path / "run.prof"
    with profiled(file):
        Stages().end("plan")
    names = {name for _, _, name in pstats.Stats(str(file)).stats}
    assert {"end", "__init__"} <= names
    with profiled(None):
        pass
    assert list(tmp_path.iterdir()) == [file]


def test_a_profile_of_what_fails_is_written_too(tmp_path):
    with pytest.raises(OSError, match="stop"), profiled(tmp_path / "run.prof"):
        raise OSError("stop")
    assert (tmp_path / "run.prof").stat().st_size > 0


def test_a_profile_replaces_no_file_and_hides_no_error(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    with pytest.raises(InputError, match="takes a new file"), profiled(file):
        pytest.fail("the work has begun")
    assert file.read_text() == "mine"
    said: list[str] = []
    place = tmp_path / "folder"
    place.mkdir()
    with pytest.raises(ValueError, match="the run"), profiled(place / "run.prof", said.append):
        (place / "run.prof").unlink()
        place.rmdir()
        raise ValueError("the run")
    (note,) = said
    assert "cannot be written" in note


def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(tmp_path):
    with pytest.raises(InputError, match="--profile takes a new file"), profiled(tmp_path):
        pytest.fail("the work has begun")
