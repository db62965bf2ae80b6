"""Tests that pictures in TFRecord files and TensorFlow Datasets are audited like files."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image, ImageOps
from rich.console import Console
from support.settings import data_config, data_key
from support.small import load_tool, write_classes

from tfxfer.commands.audit import audit_data
from tfxfer.commands.main import main
from tfxfer.config.presets import load_config
from tfxfer.data.audit import audit_listing
from tfxfer.errors import InputError
from tfxfer.kinds import TASKS
from tfxfer.machine.processes import ALONE
from tfxfer.sources.sources import list_items
from tfxfer.training.job import load_items
from tfxfer.training.load import load_data

pytestmark = pytest.mark.slow

tool = load_tool("make_bad_folder")
CLASSES = tuple(tool.CLASSES)
GOOD = 12  # Each class has so many good pictures in train, and 4 in test.
# Bytes have no ending, so these kinds exclude wrong endings.
BAD = {
    name: (make, expected)
    for name, (make, expected) in tool.KINDS.items()
    if expected != ("wrong ending",)
}


def draw(seed: int, label: int) -> Image.Image:
    return tool.draw(CLASSES[label], seed, 160, 120)


@cache
def make_rows() -> dict[str, list[tuple[bytes, int, object]]]:
    """Return encoded pictures with their labels and the audit's findings, by split."""
    train = [
        (tool.encode(draw(100 * n + label, label), "JPEG"), label, ())
        for n in range(GOOD)
        for label in range(3)
    ]
    test = [
        (tool.encode(draw(9000 + 100 * n + label, label), "JPEG"), label, ())
        for n in range(4)
        for label in range(3)
    ]
    for position, (make, expected) in enumerate(BAD.values()):
        label = position % 3
        train.insert(2 * position, (make(draw(50_000 + position, label)), label, expected))
    train.append(test[0])
    again = Image.fromarray(np.asarray(draw(9001, 1)))
    # This is the second picture of the test split, saved again with another label.
    train.append((tool.encode(again.resize((96, 72)), "JPEG", quality=75), 2, ()))
    return {"train": train, "test": test}


def leaking_rows() -> list[int]:
    count = len(make_rows()["train"])
    return [count - 2, count - 1]


def write_tfds(folder) -> dict[str, object]:
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=list(CLASSES)),
        }
    )
    tfds.disable_progress_bar()
    tfds.dataset_builders.store_as_tfds_dataset(
        name="spoiled",
        version="1.0.0",
        features=features,
        split_datasets={
            name: [
                (n, {"image": encoded, "label": label})
                for n, (encoded, label, _) in enumerate(rows)
            ]
            for name, rows in make_rows().items()
        },
        data_dir=folder,
        config="default",
        disable_shuffling=True,
    )
    return {"source": "tfds:spoiled", "data_dir": str(folder)}


def to_example(encoded: bytes, label: int) -> bytes:
    image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
    number = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    features = tf.train.Features(feature={"image": image, "label": number})
    return tf.train.Example(features=features).SerializeToString()


def write_records(path, rows, kind: str) -> None:
    if kind == "arrayrecord":
        writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    else:
        writer = tf.io.TFRecordWriter(str(path))
    for encoded, label, *_ in rows:
        writer.write(to_example(encoded, label))
    writer.close()


def write_splits(folder, kind: str) -> dict[str, object]:
    for name, rows in make_rows().items():
        write_records(folder / name, rows, kind)
    splits = {"train": "train", "test": "test", "class_names": CLASSES}
    return {"source": f"{kind}:{folder}", **splits}


@pytest.fixture(scope="module", params=["tfds", "tfrecord", "arrayrecord"])
def spoiled(request, tmp_path_factory) -> tuple[dict[str, object], dict[str, list[str]]]:
    """The settings of a source, and the names of its pictures by split."""
    folder = tmp_path_factory.mktemp(request.param)
    numbers = {name: range(len(rows)) for name, rows in make_rows().items()}
    if request.param == "tfds":
        return write_tfds(folder), {n: [f"{n}/{k}" for k in each] for n, each in numbers.items()}
    called = {n: [f"{folder}/{n}, record {k}" for k in each] for n, each in numbers.items()}
    return write_splits(folder, request.param), called


def audit(settings, cache=None, **changes):
    """Return the findings, and the reported progress."""
    said: list[tuple[int, int]] = []
    listing = list_items(data_config(**{**settings, **changes}), TASKS)
    return audit_listing(listing, True, cache, lambda *done: said.append(done)), said


def test_every_kind_of_bad_and_odd_picture_is_found_and_named(spoiled):
    settings, called = spoiled
    found, said = audit(settings)
    rows = [row for name in ("train", "test") for row in make_rows()[name]]
    assert [look.path for look in found.looks] == [*called["train"], *called["test"]]
    for look, (encoded, _, expected) in zip(found.looks, rows, strict=True):
        if isinstance(expected, str):
            assert expected in str(look.fault)
        else:
            assert (look.fault, look.oddities) == (None, expected), look.path
        assert look.size_bytes == len(encoded)
    assert said[-1] == (len(rows), len(rows))
    assert list(found.leaks) == leaking_rows()
    (conflict,) = found.conflicts
    assert [found.looks[row].path for row in conflict.rows] == [
        called["train"][leaking_rows()[1]],
        called["test"][1],
    ]
    good = [label for _, label, expected in make_rows()["train"] if not isinstance(expected, str)]
    assert found.count("train").tolist() == np.bincount(good).tolist()


def read(split) -> list[tuple[bytes, int]]:
    return [(bytes(picture), int(label)) for picture, label in split.encoded().as_numpy_iterator()]


def test_a_run_refuses_or_leaves_out_what_is_bad_and_what_leaks(spoiled, tmp_path):
    settings, called = spoiled
    bad = [
        name
        for name, (_, _, expected) in zip(called["train"], make_rows()["train"], strict=True)
        if isinstance(expected, str)
    ]
    total = sum(map(len, make_rows().values()))
    with pytest.raises(InputError, match=f"Received: {len(bad)} of {total} ") as caught:
        load_data(data_config(**settings), 0, cache=tmp_path)
    assert f"\n  {bad[0]}: empty file\n" in str(caught.value)
    told = load_data(data_config(**settings, on_bad="quarantine"), 0, cache=tmp_path)
    assert [file.path for file in told.quarantined] == bad
    assert any("2 pictures have a copy in a later split" in note for note in told.notes)
    assert any("1 groups of copies have different labels" in note for note in told.notes)
    assert any("1 cmyk" in note and "1 turned" in note for note in told.notes)
    fixed = load_data(
        data_config(**settings, on_bad="quarantine", fix_leaks=True), 0, cache=tmp_path
    )
    leaking = {called["train"][row] for row in leaking_rows()}
    for data, left_out in ((told, {*bad}), (fixed, {*bad, *leaking})):
        seen = []
        for split in (data.train, data.validation):
            names = list(split.where())
            rows = [make_rows()["train"][called["train"].index(name)][:2] for name in names]
            assert read(split) == rows
            assert split.labels.numbers.tolist() == [label for _, label in rows]
            seen += names
        assert sorted(seen) == sorted(set(called["train"]) - left_out)
        assert read(data.test) == [row[:2] for row in make_rows()["test"]]


def test_what_was_seen_is_remembered(spoiled, tmp_path):
    settings, _ = spoiled
    first, said = audit(settings, tmp_path)
    assert said
    (stored,) = (tmp_path / "audit").iterdir()
    written = stored.stat().st_mtime_ns
    assert audit(settings, tmp_path) == (first, [])
    assert stored.stat().st_mtime_ns == written
    load_data(data_config(**settings, on_bad="quarantine"), 0, cache=tmp_path, show=pytest.fail)
    if settings["source"].startswith("tfds:"):
        # With another expression over the same pictures, none is looked at again or forgotten.
        part, said = audit(settings, tmp_path, train="train[:60%]")
        assert not said
        assert part.looks[:20] == first.looks[:20]
    assert audit(settings, tmp_path) == (first, [])


def test_records_that_were_written_again_are_looked_at_again(tmp_path):
    path = tmp_path / "records"
    write_records(path, make_rows()["test"], "tfrecord")
    settings = {"source": f"tfrecord:{path}", "class_names": CLASSES}
    assert not audit(settings, tmp_path / "cache")[0].faults
    rows = [*make_rows()["test"][:5], (b"no picture", 0), *make_rows()["test"][5:]]
    write_records(path, rows, "tfrecord")
    found, said = audit(settings, tmp_path / "cache")
    assert [look.path for look in found.faults] == [f"{path}, record 5"]
    assert said[-1] == (len(rows), len(rows))


def test_an_array_record_that_was_replaced_is_opened_anew(tmp_path):
    path = tmp_path / "records"
    for rows in (make_rows()["test"], make_rows()["test"][::-1][:9]):
        write_records(path, rows, "arrayrecord")
        config = data_config(source=f"arrayrecord:{path}", class_names=CLASSES)
        listed = list_items(config, TASKS).splits["train"]
        assert read(listed) == [row[:2] for row in rows]


def colours_of(sheet) -> set[tuple[int, ...]]:
    """Return the colours, in steps of 32, that fill more than a hundredth of a sheet."""
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3) // 32
    counts = np.bincount(np.ravel_multi_index(pixels.T, (8, 8, 8)), minlength=8**3)
    found = np.argwhere(counts.reshape(8, 8, 8) > len(pixels) / 100)
    return {tuple(map(int, each)) for each in found}


def test_the_command_writes_what_it_found_and_shows_the_pictures(spoiled, tmp_path, capsys):
    settings, called = spoiled
    arguments = [f"{data_key(k)}={json.dumps(v)}" for k, v in settings.items() if k != "source"]
    assert main(["audit", settings["source"], "--out", str(tmp_path), "--set", *arguments]) == 1
    printed = capsys.readouterr().out
    for expected in ("cannot be used", "conflicting labels", "same bytes twice", "cmyk"):
        assert expected in printed
    report = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert report["leaks"] == [called["train"][row] for row in leaking_rows()]
    assert {fault["path"] for fault in report["faults"]} == {
        name
        for name, (_, _, expected) in zip(called["train"], make_rows()["train"], strict=True)
        if isinstance(expected, str)
    }
    for sheet in ("faults", "odd", "leaks", "conflicts", "copies", "classes"):
        assert (tmp_path / f"{sheet}.png").is_file()
    grey = [colour for colour in colours_of(tmp_path / "classes.png") if len(set(colour)) == 1]
    assert len(colours_of(tmp_path / "classes.png")) > len(grey)


def test_the_sheets_of_an_address_are_those_of_the_same_folder(own_folder, tmp_path):
    address = f"ram://{tmp_path.name}/photos"
    for path in own_folder.rglob("*.jpg"):
        there = f"{address}/{path.relative_to(own_folder)}"
        tf.io.gfile.makedirs(there.rpartition("/")[0])
        with tf.io.gfile.GFile(there, "wb") as file:
            file.write(path.read_bytes())
    for name, source in (("here", own_folder), ("there", address)):
        audit_data(source, out=tmp_path / name, quiet=True)
    here, there = ((tmp_path / name / "classes.png").read_bytes() for name in ("here", "there"))
    assert here == there


def test_mirror_images_are_copies_only_where_pictures_may_be_flipped(tmp_path):
    folder = tmp_path / "photos"
    for split, first in (("train", 0), ("val", 300), ("test", 600)):
        write_classes(folder / split, {"blue": 6, "green": 6}, first)
    original = draw(5, 1)
    original.save(folder / "test" / "blue" / "letter.png")
    ImageOps.mirror(original).save(folder / "train" / "blue" / "mirrored.png")
    for flip, leaks in ((True, 1), (False, 0)):
        settings = {"augmentation.flip": flip}
        assert len(audit_data(folder, settings=settings, quiet=True).leaks) == leaks
        config = load_config("photos", data=folder, settings=settings)
        notes = load_items(config, Console(quiet=True), share=ALONE).notes
        assert sum("have a copy in a later split" in note for note in notes) == leaks
