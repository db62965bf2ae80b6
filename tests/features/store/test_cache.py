"""What the cache holds is listed, and what was used least recently goes first."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfxfer.cache import in_use
from tfxfer.cache.digest import digest
from tfxfer.cache.folder import clear_others, locate, measure_others
from tfxfer.commands.main import main
from tfxfer.features.store import cache, shards
from tfxfer.features.store.table import look_up

SHAPE, NAMES = (2, 3), ("a", "b", "c", "d")


def make_kind(name) -> shards.Kind:
    return shards.Kind(digest(name), SHAPE, {"network": name})


@pytest.fixture
def stored(tmp_path) -> Path:
    """Features of three kinds, last used one after the other, a first, in a folder of its own."""
    for age, name in enumerate(["c", "b", "a"]):
        kind = make_kind(name)
        with shards.write_shard(tmp_path / "cache", kind, NAMES, "float16") as append:
            append(np.zeros((len(NAMES), *SHAPE), np.float32))
        used = 1_700_000_000 - 1000 * age
        os.utime(tmp_path / "cache" / kind.key, (used, used))
    return tmp_path / "cache"


def keys(stored) -> list[str]:
    return [line.about["network"] for line in cache.list_stored(stored)]


def test_what_is_stored_is_listed_the_last_used_first(stored):
    lines = cache.list_stored(stored)
    assert [line.about["network"] for line in lines] == ["c", "b", "a"]
    assert lines[0].about["shape"] == [2, 3]
    for line in lines:
        assert line.items == 4
        files = [path for path in line.path.rglob("*") if path.is_file()]
        assert line.bytes == sum(path.stat().st_size for path in files) > 2 * 4 * 2 * 3
    assert lines[0].used > lines[1].used > lines[2].used
    assert cache.list_stored(stored / "nowhere") == []


def test_looking_features_up_counts_as_use(stored):
    look_up(stored, make_kind("a"), NAMES)
    assert keys(stored) == ["a", "c", "b"]


def test_room_is_made_by_removing_what_was_used_least_recently(stored):
    size = cache.list_stored(stored)[0].bytes
    assert cache.make_room(stored, size, keep=[], budget_bytes=4 * size)
    assert keys(stored) == ["c", "b", "a"], "there is room for one more"
    assert cache.make_room(stored, size, keep=[], budget_bytes=3 * size)
    assert keys(stored) == ["c", "b"]
    assert cache.make_room(stored, size, keep=[make_kind("b").key], budget_bytes=2 * size)
    assert keys(stored) == ["b"]


def test_room_is_refused_where_what_stays_leaves_too_little(stored):
    size = cache.list_stored(stored)[0].bytes
    assert not cache.make_room(
        stored, size, keep=[make_kind(name).key for name in "abc"], budget_bytes=4 * size - 1
    )
    assert not cache.make_room(stored, 5 * size, keep=[], budget_bytes=4 * size)
    assert not cache.make_room(stored, 1, keep=[], budget_bytes=0)
    assert keys(stored) == ["c", "b", "a"], "nothing goes for what does not fit anyway"


def test_without_a_budget_the_disk_and_the_memory_set_one(stored):
    assert cache.make_room(stored, 1000, keep=[])
    assert cache.make_room(stored / "not" / "there" / "yet", 1000, keep=[])
    assert not cache.make_room(stored, 10**18, keep=[])
    assert len(keys(stored)) == 3


def test_clearing_removes_everything_but_what_is_kept(stored):
    held = sum(line.bytes for line in cache.list_stored(stored))
    assert cache.clear(stored, keep=[make_kind("b").key]) == held * 2 // 3
    assert keys(stored) == ["b"]
    assert cache.clear(stored) == held // 3
    assert cache.list_stored(stored) == []


def test_the_folder_is_as_configured_or_named_or_the_user_s_cache(monkeypatch):
    monkeypatch.setenv("TFXFER_CACHE", "/named")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert locate("/configured") == Path("/configured")
    assert locate() == Path("/named")
    monkeypatch.delenv("TFXFER_CACHE")
    assert locate() == Path("/xdg/tfxfer")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert locate() == Path.home() / ".cache" / "tfxfer"


def test_folders_of_others_are_neither_listed_nor_removed(stored):
    for name, about in (
        ("mine", {"made_by": "tfxfer"}),
        (digest("not tfxfer's"), {"about": "me"}),
        (digest("no object"), [1]),
    ):
        (stored / name).mkdir()
        (stored / name / "about.json").write_text(json.dumps(about))
    assert keys(stored) == ["c", "b", "a"]
    cache.clear(stored)
    assert len(list(stored.iterdir())) == 3


def test_what_is_being_written_stays(stored):
    kind = make_kind("a")
    with shards.write_shard(stored, kind, NAMES, "float16") as append:
        append(np.zeros((2, *SHAPE), np.float32))
        cache.clear(stored)
        assert keys(stored) == ["a"]
        append(np.zeros((2, *SHAPE), np.float32))
    assert look_up(stored, kind, NAMES).missing.size == 0


def test_a_budget_is_no_more_than_the_disk_has(stored):
    free = shutil.disk_usage(stored).free
    assert not cache.has_room(stored, 2 * free, keep=[], budget_bytes=10 * free)
    assert cache.has_room(stored, 1000, keep=[], budget_bytes=10 * free)


def test_what_else_lies_in_the_cache_is_shown_and_cleared(tmp_path, capsys):
    key = 32 * "a"
    own = (f"archives/{key}/ants/1.jpg", f"datasets/{key}/1.png", f"audit/{key}.json")
    for name in (*own, "mine/1.txt", "archives/mine/1.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(bytes(100_000))
    assert main(["cache", "--dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "archives: 0.1 MB" in printed
    assert "0.3 MB in" in printed
    assert main(["cache", "--dir", str(tmp_path), "--clear"]) == 0
    assert "freed 0.3 MB" in capsys.readouterr().out
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"mine/1.txt", "archives/mine/1.txt"}


@pytest.mark.parametrize("name", ["archives", "datasets"])
def test_what_a_killed_run_left_half_unpacked_is_shown_and_cleared(tmp_path, name):
    for run in ("killed", "going-on"):
        folder = tmp_path / name / f".unfinished-{run}" / "train" / "ants"
        folder.mkdir(parents=True)
        (folder / "1.jpg").write_bytes(bytes(100_000))
    for path in (tmp_path / name / ".unfinished-killed").rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    os.utime(tmp_path / name / ".unfinished-killed", (1_700_000_000, 1_700_000_000))
    assert measure_others(tmp_path) == {name: 100_000}
    assert clear_others(tmp_path) == 100_000
    assert [path.name for path in (tmp_path / name).iterdir()] == [".unfinished-going-on"]


HOLDING = """
import sys, time
from pathlib import Path
from tfxfer.cache.in_use import hold
print(hold(Path(sys.argv[1])), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("name", ["archives", "datasets"])
def test_what_a_process_reads_stays_until_it_ends(tmp_path, capsys, name):
    held, free = (tmp_path / name / (32 * letter) for letter in "ab")
    for folder in (held, free):
        folder.mkdir(parents=True)
        (folder / "1.jpg").write_bytes(bytes(100_000))
    arguments = [sys.executable, "-c", HOLDING, str(held)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        assert main(["cache", "--dir", str(tmp_path), "--clear"]) == 0
        printed = capsys.readouterr().out
        process.kill()
    assert "freed 0.1 MB" in printed
    assert f"{name}: 0.1 MB stay" in printed
    assert list((tmp_path / name).iterdir()) == [held]
    assert clear_others(tmp_path) == 100_000
    assert list((tmp_path / name).iterdir()) == []


def test_a_folder_that_was_cleared_cannot_be_held(tmp_path):
    folder = tmp_path / "archives" / (32 * "a")
    assert not in_use.hold(folder)
    folder.mkdir(parents=True)
    assert in_use.hold(folder) and in_use.hold(folder)
    assert clear_others(tmp_path) == 0
    folder.rmdir()
    assert not in_use.hold(folder)
    folder.mkdir()
    assert in_use.hold(folder)
    assert clear_others(tmp_path) == 0 and folder.is_dir()
