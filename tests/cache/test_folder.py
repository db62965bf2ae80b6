"""Tests that a cache which cannot be written to is refused before the slow work begins."""

from __future__ import annotations

import pytest
from support.small import small_disk

from tfxfer.cache.folder import check_writable
from tfxfer.commands.main import main
from tfxfer.errors import InputError


def test_a_folder_is_made(tmp_path):
    check_writable(tmp_path / "home" / "cache")
    assert (tmp_path / "home" / "cache").is_dir()


@pytest.mark.parametrize("command", ["train", "tune"])
def test_a_file_in_its_place_is_refused_before_the_data_are_looked_for(
    command, tmp_path, monkeypatch, capsys
):
    (tmp_path / "home").write_text("no folder")
    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path / "home" / "cache"))
    arguments = ["--preset", "photos", "--data", "gone", "--out", str(tmp_path / "run")]
    assert main([command, *arguments]) == 2
    error = capsys.readouterr().err
    assert "must be a folder that can be written to" in error and "TFXFER_CACHE" in error
    assert not (tmp_path / "run").exists()
    # What stores nothing needs no cache.
    assert main([command, *arguments, "--set", "features.max_disk_gb=0"]) == 2
    assert "must be a folder that can be written to" not in capsys.readouterr().err


def test_a_disk_that_is_only_read_is_refused(tmp_path):
    with small_disk(tmp_path / "disk", "size=8k,ro") as place:
        for folder in (place, place / "cache"):
            with pytest.raises(InputError, match="can be written to"):
                check_writable(folder)
