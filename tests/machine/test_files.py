"""Tests that pictures at addresses are listed, stamped and read as those in local folders."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow
import pytest
import tensorflow as tf
from pyarrow import parquet
from support.settings import data_config
from support.small import COLOURS

from tfxfer import run
from tfxfer.config.features import FeaturesConfig
from tfxfer.errors import InputError
from tfxfer.kinds import TASKS
from tfxfer.machine.files import join, read_bytes, stamp
from tfxfer.sources.sources import list_items
from tfxfer.training.load import load_data


@pytest.fixture
def address(own_folder, tmp_path) -> str:
    """An address of the pictures of `own_folder` in TensorFlow's file system in memory."""
    target = f"ram://{tmp_path.name}/photos"
    for path in own_folder.rglob("*.jpg"):
        write(f"{target}/{path.relative_to(own_folder)}", path.read_bytes())
    return target


def write(address: str, content: bytes) -> str:
    tf.io.gfile.makedirs(address.rsplit("/", 1)[0])
    with tf.io.gfile.GFile(address, "wb") as file:
        file.write(content)
    return address


def rows(split=lambda index: "") -> list[dict[str, str]]:
    return [
        {"path": f"{name}/{index:03d}.jpg", "label": name, "split": split(index)}
        for name in COLOURS
        for index in range(6)
    ]


def as_csv(listed) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, listed[0])
    writer.writeheader()
    writer.writerows(listed)
    return text.getvalue().encode()


def load(source, **changes):
    return load_data(data_config(source=str(source), **changes), seed=0)


def below(paths, root) -> list[str]:
    return [path.removeprefix(str(root)).lstrip("/") for path in paths]


@pytest.mark.parametrize("end", ["", "/"])
def test_a_folder_at_an_address_gives_what_the_same_folder_gives(own_folder, address, end):
    there, here = load(address + end), load(own_folder)
    assert there.classes == here.classes
    for name in ("train", "validation", "test"):
        split, local = getattr(there, name), getattr(here, name)
        assert below(split.paths, address) == below(local.paths, own_folder)
        assert [i.name for i in split.identities()] == [i.name for i in local.identities()]
        assert [e.numpy() for e, _ in split.encoded()] == [e.numpy() for e, _ in local.encoded()]


def test_split_folders_endings_and_groups_at_an_address(own_folder, tmp_path):
    root = f"ram://{tmp_path.name}/parted"
    for path in sorted(own_folder.rglob("*.jpg")):
        split = {"004": "val", "005": "test"}.get(path.stem, "train")
        write(f"{root}/{split}/{path.parent.name}/deep/{path.name}", path.read_bytes())
    write(f"{root}/train/blue/notes.txt", b"mine")
    write(f"{root}/train/blue/.hidden.jpg", b"")
    listed = list_items(data_config(source=root, group_pattern=r"/(\d+)\.jpg"), TASKS)
    assert {name: len(split.paths) for name, split in listed.splits.items()} == {
        "test": 3,
        "train": 12,
        "validation": 3,
    }
    assert set(listed.splits["train"].groups) == {"000", "001", "002", "003"}
    assert listed.notes == ("1 files without a picture's ending are not read: notes.txt",)


@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
def test_a_manifest_at_an_address(address, name):
    listed = rows(lambda index: "test" if index == 5 else "")
    content = io.BytesIO(as_csv(listed))
    if name.endswith(".parquet"):
        content = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(listed), content)
    data = load(write(f"{address}/{name}", content.getvalue()))
    assert data.classes == tuple(COLOURS)
    assert below(data.test.paths, address) == [f"{name}/005.jpg" for name in COLOURS]


def test_a_manifest_here_lists_pictures_at_an_address_and_in_roots_there(own_folder, address):
    manifest = own_folder.parent / "list.csv"
    moved = f"{address}-more/amber/000.jpg"
    write(moved, read_bytes(f"{address}/amber/000.jpg"))
    tf.io.gfile.remove(f"{address}/amber/000.jpg")
    manifest.write_bytes(as_csv(rows()))
    listed = list_items(
        data_config(source=str(manifest), roots=(address, f"{address}-more")), TASKS
    )
    assert listed.splits["train"].paths[0] == moved
    manifest.write_bytes(as_csv([row | {"path": f"{address}/{row['path']}"} for row in rows()]))
    with pytest.raises(InputError, match=r"1 of 18 that are not") as caught:
        load(manifest)
    assert f"{address}/amber/000.jpg: cannot be read" in str(caught.value)


def test_a_picture_that_is_replaced_has_another_stamp(address):
    path = f"{address}/amber/000.jpg"
    before = stamp(path)
    assert stamp(path) == before
    write(path, b"another")
    assert stamp(path) != before
    with pytest.raises(FileNotFoundError):
        stamp(f"{address}/gone.jpg")


def test_an_address_of_file_is_a_path(own_folder):
    assert data_config(source=f"file://{own_folder}").source == str(own_folder)
    assert data_config(roots=(f"file://localhost{own_folder}",)).reading.roots == (str(own_folder),)
    with pytest.raises(InputError, match="--out must lie outside"):
        source = data_config(source=f"file://{own_folder}").source
        run.check_folder(own_folder / "run", False, source)
    with pytest.raises(ValueError, match="on this machine"):
        data_config(source="file://elsewhere/photos")


@pytest.mark.parametrize("source", ["s3://bucket/photos", "s3://bucket/list.csv"])
def test_an_address_that_tensorflow_has_no_file_system_for_is_refused(own_folder, source):
    for changes in ({"source": source}, {"source": str(own_folder), "roots": (source,)}):
        with pytest.raises(InputError, match=r"ram://.*Received: 's3://bucket/"):
            list_items(data_config(**changes), TASKS)


def test_nothing_at_an_address_is_said(address):
    for name in ("nowhere", "list.csv"):
        with pytest.raises(InputError, match="is not there"):
            load(f"{address}/{name}")
    with pytest.raises(InputError, match="which is a file"):
        load(f"{address}/amber/000.jpg")
    write(f"{address}/a.zip", b"")
    with pytest.raises(InputError, match="Copy it to this machine"):
        load(f"{address}/a.zip")


def test_runs_and_features_are_kept_on_the_machine():
    with pytest.raises(InputError, match="--out must name a folder of this machine"):
        run.check_folder(Path("gs://bucket/run"), False, "gs://bucket/photos")
    with pytest.raises(ValueError, match="cache_dir must be a folder of this machine"):
        FeaturesConfig(cache_dir="gs://bucket/cache")


def test_paths_below_an_address_are_worked_out():
    assert join("gs://bucket/lists", "../photos/./a.jpg") == "gs://bucket/photos/a.jpg"
    assert join("/lists", "../photos/a.jpg") == "/lists/../photos/a.jpg"
