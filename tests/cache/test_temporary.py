"""A command leaves nothing in the temporary folder, and removes what a killed one has left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tfxfer.backbones.handles import hub_cache
from tfxfer.cache.temporary import own_temporary, shared_temporary

LONG_AGO = (1_700_000_000, 1_700_000_000)
WAITING = """
import subprocess, sys, tempfile
from tfxfer.cache.temporary import own_temporary
with own_temporary() as own:
    tempfile.mkdtemp("tfds")
    child = "import tempfile; print(tempfile.mkdtemp(), flush=True)"
    subprocess.run([sys.executable, "-c", child], check=True)
    sys.stdin.read()
"""


@pytest.fixture
def shared(tmp_path, monkeypatch) -> Path:
    """An empty temporary folder, for this process and those that it starts."""
    place = tmp_path / "shared"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setenv("TMPDIR", str(place))
    return place


def test_what_is_left_in_it_goes_and_what_outlives_a_command_stays(shared, monkeypatch):
    monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
    with own_temporary() as own:
        assert own.parent == shared
        assert Path(tempfile.mkdtemp("tfds")).parent == own
        assert shared_temporary() == shared
        assert hub_cache() == shared / "tfhub_modules"
        with own_temporary() as inner:
            assert inner.parent == own or inner.parent == shared
    assert list(shared.iterdir()) == []
    assert (tempfile.gettempdir(), os.environ["TMPDIR"]) == (str(shared), str(shared))


def wait_for_one(*options):
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, Path(process.stdout.readline().strip())


def make_old(folder):
    for path in (folder, *folder.rglob("*")):
        os.utime(path, LONG_AGO)


def test_what_a_killed_command_left_long_ago_goes_with_the_next(shared):
    process, of_child = wait_for_one()
    left = of_child.parent
    assert left.parent == shared and len(list(left.iterdir())) == 2
    make_old(left)
    with own_temporary():
        assert left.is_dir(), "the process that it belongs to is alive"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left / "new").touch()
    with own_temporary():
        assert left.is_dir(), "it was left just now"
    make_old(left)
    with own_temporary() as own:
        assert list(shared.iterdir()) == [own]
