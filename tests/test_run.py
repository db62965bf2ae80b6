"""Tests of the run folder, which appears complete or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tfxfer import run
from tfxfer.config.presets import load_config
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
    (target / run.METRICS).write_text("old")
    with pytest.raises(OSError, match="stop"), run.staged(target, overwrite=True) as staging:
        raise OSError("stop")
    assert (target / run.METRICS).read_text() == "old"
    with run.staged(target, overwrite=True) as staging:
        (staging / run.METRICS).write_text("new")
    assert (target / run.METRICS).read_text() == "new"
    assert [path.name for path in tmp_path.rglob("*")] == ["run", run.METRICS]


def test_an_empty_folder_is_filled_in_its_place(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path / "real")
    inode = (tmp_path / "real").stat().st_ino
    with run.staged(tmp_path / "link") as staging:
        (staging / "file").write_text("new")
    assert (tmp_path / "real" / "file").read_text() == "new"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").stat().st_ino == inode


def test_what_a_killed_run_left_in_a_folder_is_in_nobody_s_way(tmp_path):
    left = Path(tempfile.mkdtemp(prefix=f".{tmp_path.name}.", dir=tmp_path))
    (left / "half").write_text("half")
    run.check_folder(tmp_path, False, None)
    with run.staged(tmp_path) as staging:
        (staging / run.METRICS).write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {left.name, run.METRICS}


@pytest.mark.parametrize("exists", [False, True])
def test_a_finished_run_is_kept_beside_a_folder_that_was_taken_meanwhile(tmp_path, exists):
    target = tmp_path / "run"
    if exists:
        target.mkdir()
    with (
        pytest.raises(InputError, match="The finished run lies in") as caught,
        run.staged(target) as staging,
    ):
        (staging / "file").write_text("finished")
        target.mkdir(exist_ok=True)
        (target / "precious").write_text("mine")
    assert (target / "precious").read_text() == "mine"
    kept = Path(str(caught.value).rsplit("'", 2)[1])
    assert (kept / "file").read_text() == "finished"


def test_a_failure_removes_the_parents_it_made(tmp_path):
    with pytest.raises(OSError, match="stop"), run.staged(tmp_path / "a" / "b" / "run"):
        raise OSError("stop")
    assert list(tmp_path.iterdir()) == []


def test_a_taken_folder_is_refused(tmp_path):
    run.check_folder(tmp_path / "new", False, None)
    run.check_folder(tmp_path, False, None)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"which holds files\. Name another, or say --overwrite"):
        run.check_folder(tmp_path, False, None)
    with pytest.raises(InputError, match="which is a file"):
        run.check_folder(tmp_path / "file", True, None)


def test_overwrite_replaces_nothing_but_a_run_s_own_files(tmp_path):
    (tmp_path / run.METRICS).write_text("{}")
    run.check_folder(tmp_path, True, None)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"which holds thesis\.tex"):
        run.check_folder(tmp_path, True, None)


def test_a_run_does_not_lie_among_its_pictures(tmp_path):
    with pytest.raises(InputError, match="outside of the folder of pictures"):
        run.check_folder(tmp_path / "photos" / "runs" / "a", False, str(tmp_path / "photos"))
    run.check_folder(tmp_path / "runs", False, str(tmp_path / "photos"))
    run.check_folder(tmp_path / "runs", False, "tfds:oxford_flowers102")


@pytest.mark.parametrize("source", ["list.csv", "photos.zip"])
def test_a_run_and_its_cache_may_lie_beside_a_manifest_or_an_archive(tmp_path, source):
    (tmp_path / source).write_text("")
    run.check_folder(tmp_path / "runs", False, str(tmp_path / source))
    settings = {"features.cache_dir": str(tmp_path / "cache")}
    config = load_config("photos", data=tmp_path / source, settings=settings)
    assert config.features.cache_dir == str(tmp_path / "cache")
    with pytest.raises(InputError, match="which is a file"):
        run.check_folder(tmp_path / source, True, str(tmp_path / source))


def test_links_to_the_pictures_do_not_hide_them(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    settings = {"features.cache_dir": str(tmp_path / "link" / "cache")}
    with pytest.raises(InputError, match="cache_dir must lie outside of the folder of pictures"):
        load_config("photos", data=tmp_path / "photos", settings=settings)
