"""Tests that a run which meets a full disk says which, and goes on where it was."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from rich.console import Console
from support.small import small_disk

import tfxfer
from tfxfer.config.presets import load_config
from tfxfer.errors import FullDiskError
from tfxfer.training.resume.place import FOLDER
from tfxfer.training.train import run_training

pytestmark = pytest.mark.slow


@pytest.fixture
def make_disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a small file system."""
    with ExitStack() as mounted:
        yield lambda size: mounted.enter_context(small_disk(tmp_path / size, f"size={size}"))


def train(small: dict, data: Path, out: Path) -> str:
    """Train, and return what was printed."""
    given = {key: value for key, value in small.items() if key != "quiet"}
    console = Console(record=True, width=300, file=io.StringIO())
    run_training(load_config("photos", data=data, **given), out, console)
    return console.export_text()


def test_a_full_disk_for_the_run_loses_no_training(
    make_disk, small, picture_folder, own_cache, tmp_path
):
    disk = make_disk("100k")
    with pytest.raises(FullDiskError) as raised:
        train(small, picture_folder, disk / "run")
    assert f"The run folder needs room. Received: a full disk at {str(disk)!r}" in str(raised.value)
    assert "name another run folder with --out" in str(raised.value)
    assert raised.value.__notes__ == ["the same command goes on after phase 'fine-tune'"]
    assert list(disk.iterdir()) == []
    said = train(small, picture_folder, tmp_path / "run")
    assert "goes on after phase 'fine-tune'" in said
    assert "fine-tune 1/1" not in said
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert list((own_cache / FOLDER).iterdir()) == []


def test_a_full_disk_for_temporary_files_loses_no_training(
    make_disk, small, picture_folder, own_cache, tmp_path, monkeypatch
):
    disk = make_disk("8k")
    (disk / "filled").write_bytes(bytes(8192))
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    with pytest.raises(FullDiskError, match="TMPDIR"):
        train(small, picture_folder, tmp_path / "run")
    (place,) = (own_cache / FOLDER).iterdir()
    assert place.is_dir()
    assert not (tmp_path / "run").exists()


def test_a_run_needs_no_room_in_the_cache(make_disk, small, picture_folder, tmp_path, monkeypatch):
    disk = make_disk("8k")
    monkeypatch.setenv("TFXFER_CACHE", str(disk / "cache"))
    small["settings"]["phases.head.solver"] = "adamw"
    said = train(small, picture_folder, tmp_path / "run")
    assert "curves for TensorBoard cannot be written" in said
    assert said.count("the run goes on without them") == 2, "once a phase"
    assert "the frozen layers run in every epoch instead" in said
    assert tfxfer.load_model(tmp_path / "run").output_shape == (None, 3)
