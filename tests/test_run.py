"""The run folder is there when all is done, or not at all."""

from __future__ import annotations

import pytest

from tfxfer import run
from tfxfer.errors import InputError


def test_a_staged_folder_takes_its_place_at_the_end(tmp_path):
    target = tmp_path / "deep" / "run"
    with run.staged(target) as staging:
        (staging / "file").write_text("new")
        assert not target.exists()
    assert (target / "file").read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["run"]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="stop"), run.staged(tmp_path / "run") as staging:
        (staging / "file").write_text("half")
        raise OSError("stop")
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_run_is_replaced_only_by_a_finished_one(tmp_path):
    target = tmp_path / "run"
    target.mkdir()
    (target / "file").write_text("old")
    with pytest.raises(OSError, match="stop"), run.staged(target) as staging:
        raise OSError("stop")
    assert (target / "file").read_text() == "old"
    with run.staged(target) as staging:
        (staging / "file").write_text("new")
    assert (target / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_taken_folder_is_refused(tmp_path):
    run.check_folder(tmp_path / "new", overwrite=False)
    run.check_folder(tmp_path, overwrite=False)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"which holds files\. Name another, or say --overwrite"):
        run.check_folder(tmp_path, overwrite=False)
    with pytest.raises(InputError, match="which is a file"):
        run.check_folder(tmp_path / "file", overwrite=True)


def test_overwrite_never_replaces_what_is_no_run(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"which holds files but no metrics\.json"):
        run.check_folder(tmp_path, overwrite=True)
    (tmp_path / run.METRICS).write_text("{}")
    run.check_folder(tmp_path, overwrite=True)
