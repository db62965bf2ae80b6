"""Tests of the content of a wheel, and that it works away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy of the checkout, so that no build folder is left in it."""
    import shutil

    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    keep_out = shutil.ignore_patterns(".*", "runs", "build", "dist", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, copy, ignore=keep_out)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(copy)], check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_every_module_preset_and_the_weights(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "tfxfer").rglob("*.py"):
        assert str(path.relative_to(ROOT)) in names
    for path in (ROOT / "configs").glob("*.toml"):
        assert f"tfxfer/configs/{path.name}" in names
    assert [name for name in names if name.endswith("fieldguide.weights.h5")]
    assert not [name for name in names if name.startswith(("tests", "tools"))]


def test_the_wheel_lists_its_presets_away_from_the_checkout(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "tfxfer", "presets"],
        cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert "birds-cub200" in done.stdout
