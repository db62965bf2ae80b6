"""Tests that archives, as people pack them, are read like the folder that was packed."""

from __future__ import annotations

import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console
from support.archives import files_of, left_in, load, pack, sizes
from support.small import COLOURS

import tfxfer
from tfxfer.cache.folder import clear_others
from tfxfer.config.presets import load_config, load_data_settings
from tfxfer.errors import InputError
from tfxfer.evaluation.evaluate import run_evaluation
from tfxfer.machine.processes import ALONE
from tfxfer.prediction.predictor import Predictor
from tfxfer.sources.archive import unpack_once
from tfxfer.sources.unpack.members import LIMITS
from tfxfer.sources.unpack.unpack import ARCHIVE_ENDINGS
from tfxfer.training.job import load_items

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("ending", ARCHIVE_ENDINGS)
@pytest.mark.parametrize("below", ["", "photos/"])
def test_an_archive_is_read_as_its_folder_is(own_folder, tmp_path, ending, below):
    archive = pack(tmp_path / f"my.photos{ending}", files_of(own_folder, below))
    data, folder = load(archive), load(own_folder)
    assert data.source == str(archive)
    assert data.classes == tuple(sorted(COLOURS))
    for split in ("train", "validation", "test"):
        ours, theirs = getattr(data, split), getattr(folder, split)
        assert [path[-12:] for path in ours.paths] == [path[-12:] for path in theirs.paths]
        assert ours.labels.list_numbers() == theirs.labels.list_numbers()


def test_it_is_unpacked_once_and_again_when_it_changed(own_folder, tmp_path, own_cache):
    archive = pack(tmp_path / "photos.zip", files_of(own_folder))
    first = load(archive)
    assert any("the archive was unpacked to" in note for note in first.notes)
    again = load(archive)
    assert again.train.paths == first.train.paths
    assert again.train.identities() == first.train.identities()
    assert not any("unpacked" in note for note in again.notes)
    pack(archive, [*files_of(own_folder), ("blue/more.jpg", files_of(own_folder)[6][1])])
    assert sum(sizes(load(archive))) == 19
    assert len(left_in(own_cache)) == 2


def test_what_a_run_reads_is_not_cleared(own_folder, tmp_path, own_cache):
    data = load(pack(tmp_path / "photos.tar", files_of(own_folder)))
    clear_others(own_cache)
    assert all(Path(path).is_file() for path in data.train.paths)


def test_runs_that_start_together_share_what_is_unpacked(own_folder, tmp_path):
    archive = pack(tmp_path / "photos.zip", files_of(own_folder))
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(unpack_once, archive, tmp_path / "place", LIMITS) for _ in range(4)]
    folders, new = zip(*(run.result() for run in runs), strict=True)
    assert len(set(folders)) == 1
    assert sum(new) == 1
    assert list((tmp_path / "place").iterdir()) == [folders[0]]


def test_splits_and_groups_are_those_of_a_folder(own_folder, tmp_path):
    members = [
        (f"photos/{split}/{name}", content)
        for name, content in files_of(own_folder)
        for split, part in (("train", "012"), ("val", "3"), ("test", "45"))
        if name[-5] in part
    ]
    data = load(pack(tmp_path / "photos.tar", members), group_pattern=r"^\w+/\w+/00\d")
    assert sizes(data) == [9, 3, 6]
    assert data.train.groups[0] == "train/amber/000"
    only_train = [m for m in members if "/train/" in m[0]]
    without = pack(tmp_path / "t.zip", [(name[7:], content) for name, content in only_train])
    assert sizes(load(without)) == [3, 3, 3]


def test_what_systems_add_is_left_out(own_folder, tmp_path, own_cache):
    extra = [("__MACOSX/photos/blue/._000.jpg", b"x"), ("photos/.DS_Store", b"x"), (".git/a", b"x")]
    data = load(pack(tmp_path / "photos.zip", [*files_of(own_folder, "photos/"), *extra]))
    assert sum(sizes(data)) == 18
    assert [path.name for path in left_in(own_cache)[0].iterdir()] == ["photos"]


def test_names_from_macos_and_windows(own_folder, tmp_path):
    (own_folder / "blue").rename(own_folder / "bléu")
    members = [(name.replace("/", "\\"), content) for name, content in files_of(own_folder)]
    archive = pack(tmp_path / "photos.zip", members)
    # The archiver of macOS writes UTF-8 without the flag that says so.
    content = archive.read_bytes()
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        start = -1
        while (start := content.find(mark, start + 1)) >= 0:
            content = content[: start + place] + b"\0\0" + content[start + place + 2 :]
    archive.write_bytes(content)
    assert load(archive).classes == ("amber", "bléu", "green")


@pytest.mark.parametrize("kind", ["before", "after", "comment", "large"])
def test_what_may_stand_around_a_zip_and_in_its_end(own_folder, tmp_path, monkeypatch, kind):
    if kind == "large":  # Such an end belongs to a zip with more members than two bytes can count.
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    archive = pack(tmp_path / "photos.zip", files_of(own_folder))
    content = archive.read_bytes()
    assert (b"PK\6\6" in content) == (kind == "large")
    if kind == "comment":
        with zipfile.ZipFile(archive, "a") as packed:
            packed.comment = b"c" * 60_000
    elif kind != "large":
        archive.write_bytes(b"#!" + content if kind == "before" else content + b"\0" * 30)
    assert sum(sizes(load(archive))) == 18


@pytest.mark.parametrize("ending", [".tar", ".tar.xz"])
def test_how_a_tar_was_packed_is_told_by_its_content(own_folder, tmp_path, ending):
    packed = pack(tmp_path / "photos.tgz", files_of(own_folder))
    assert sum(sizes(load(packed.rename(tmp_path / f"renamed{ending}")))) == 18


def test_an_archive_that_is_not_there_and_a_folder_called_like_one(own_folder, tmp_path):
    with pytest.raises(InputError, match="which is not there"):
        load(tmp_path / "none.zip")
    assert sum(sizes(load(own_folder.rename(tmp_path / "photos.zip")))) == 18


def test_a_folder_that_cannot_be_written_to_is_named(own_folder, tmp_path, own_cache):
    archive = pack(tmp_path / "photos.zip", files_of(own_folder))
    own_cache.write_text("a file")
    with pytest.raises(InputError, match="variable TFXFER_CACHE"):
        load(archive)


@pytest.mark.parametrize("command", ["train", "plan", "evaluate", "audit"])
def test_a_cache_that_is_set_is_where_it_is_unpacked(own_folder, tmp_path, own_cache, command):
    archive = pack(tmp_path / "photos.zip", files_of(own_folder))
    settings = {"features.cache_dir": str(tmp_path / "another")}
    console = Console(quiet=True)
    if command in ("train", "plan"):
        config = load_config("photos", data=archive, settings=settings)
        load_items(config, console, keeps=command == "train", share=ALONE)
    elif command == "audit":
        tfxfer.audit_data(archive, settings=settings, quiet=True)
    else:
        predictor = Predictor("a model of other classes", ("x", "y"), bytes, list)
        with pytest.raises(InputError, match="class"):
            run_evaluation(predictor, load_data_settings(archive, settings), console)
    assert len(left_in(tmp_path / "another")) == 1
    assert not own_cache.exists()
