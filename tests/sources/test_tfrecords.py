"""Tests of TFRecord and ArrayRecord files: stated schemas, splits by file, broken records."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest
import tensorflow as tf
from array_record.python.array_record_module import ArrayRecordWriter
from support.settings import data_config
from support.small import COLOURS, draw_picture

from tfxfer.errors import InputError
from tfxfer.kinds import TASKS
from tfxfer.sources.label_lists import to_labels
from tfxfer.training.load import load_data

pytestmark = pytest.mark.slow

NAMES = tuple(COLOURS)
KINDS = ("tfrecord", "arrayrecord")


def encode(label: int, seed: int, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    draw_picture(NAMES[label], seed, 16).save(buffer, kind)
    return buffer.getvalue()


def example(picture, labels, picture_key="image/encoded", label_key="image/class/label"):
    values = [labels] if isinstance(labels, int | bytes) else list(labels)
    if any(isinstance(value, bytes) for value in values):
        label = tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    else:
        label = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[picture]))
    features = tf.train.Features(feature={picture_key: image, label_key: label})
    return tf.train.Example(features=features).SerializeToString()


def examples(count, first=0, **keys):
    return [example(encode(i % 3, first + i), i % 3, **keys) for i in range(count)]


def write(path, records, kind="tfrecord", compression=""):
    path.parent.mkdir(exist_ok=True)
    if kind == "arrayrecord":
        writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    else:
        writer = tf.io.TFRecordWriter(str(path), compression)
    for record in records:
        writer.write(record)
    writer.close()
    return path


def load(kind, pattern, **changes):
    return load_data(data_config(source=f"{kind}:{pattern}", **changes), seed=0)


def read(pictures, shuffle_seed=None):
    dataset = pictures.encoded(shuffle_seed)
    return [(bytes(picture), label) for picture, label in dataset.as_numpy_iterator()]


@pytest.mark.parametrize("kind", KINDS)
def test_shards_are_read_in_order_and_missing_splits_cut(tmp_path, kind):
    records = examples(30)
    for shard in range(3):
        name = f"photos.{kind}-{shard:05d}-of-00003"
        write(tmp_path / "r" / name, records[10 * shard : 10 * shard + 10], kind)
    data = load(kind, tmp_path / "r" / "photos*", class_names=NAMES)
    assert data.classes == NAMES
    splits = (data.train, data.validation, data.test)
    assert [len(split.labels) for split in splits] == [18, 6, 6]
    originals = {encode(i % 3, i): i for i in range(30)}
    seen = []
    for split in splits:
        places = [originals[picture] for picture, _ in read(split)]
        assert places == sorted(places)
        np.testing.assert_array_equal([place % 3 for place in places], split.labels.numbers)
        assert [label for _, label in read(split)] == list(split.labels.numbers)
        names = [f"r/photos.{kind}-{p // 10:05d}-of-00003/{p % 10}" for p in places]
        assert [identity.name for identity in split.identities()] == names
        seen += places
    assert sorted(seen) == list(range(30))


@pytest.mark.parametrize("kind", KINDS)
def test_a_shuffle_keeps_pictures_with_their_labels(tmp_path, kind):
    write(tmp_path / "r" / "all", examples(30), kind)
    train = load(kind, tmp_path / "r" / "all").train
    plain, first, again, other = (read(train, seed) for seed in (None, 1, 1, 2))
    assert first == again != other
    assert first != plain
    assert sorted(first) == sorted(plain)
    few = train.choose(np.array([5, 1, 11]))
    assert read(few) == [plain[index] for index in (1, 5, 11)]


def test_gzip_is_told_by_content_and_may_be_mixed(tmp_path):
    write(tmp_path / "r" / "a", examples(15), compression="GZIP")
    write(tmp_path / "r" / "b", examples(15, 50))
    data = load("tfrecord", tmp_path / "r" / "*")
    assert sum(len(read(split)) for split in (data.train, data.validation, data.test)) == 30


def test_splits_are_patterns_of_files(tmp_path):
    for name, count, first in (("train-0", 9, 0), ("train-1", 6, 20), ("val", 6, 40)):
        write(tmp_path / "r" / name, examples(count, first))
    write(tmp_path / "r" / "test", examples(3, 60))
    splits = {"train": "train-*", "validation": "val", "test": "test"}
    data = load("tfrecord", tmp_path / "r", **splits)
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == [15, 6, 3]
    # Without train_split, the source's other files are for training.
    del splits["train"]
    again = load("tfrecord", tmp_path / "r" / "*", **splits)
    assert again.train.identities() == data.train.identities()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train": "t*"}, "/test' in train and in test"),
        ({"train": "none-*"}, "matches none. In .* there are test, train"),
        ({}, "which is a folder. Its files are test, train"),
    ],
)
def test_patterns_that_do_not_part_the_files_are_refused(tmp_path, changes, expected):
    for name in ("train", "test"):
        write(tmp_path / "r" / name, examples(6))
    with pytest.raises(InputError, match="Received: ") as caught:
        load("tfrecord", tmp_path / "r", test="test", **changes)
    assert caught.match(expected)


def test_a_stated_schema_is_followed_and_names_are_classes(tmp_path):
    keys = {"picture_key": "jpeg", "label_key": "species"}
    records = [example(encode(i % 3, i), NAMES[i % 3].encode(), "jpeg", "species")
               for i in range(18)]  # fmt: skip
    write(tmp_path / "r" / "a", records)
    with pytest.raises(InputError, match=r"reading\.label_key must name .* has jpeg, species"):
        load("tfrecord", tmp_path / "r" / "a")
    with pytest.raises(InputError, match="Did you mean 'jpeg'"):
        load("tfrecord", tmp_path / "r" / "a", picture_key="jpg", label_key="species")
    data = load("tfrecord", tmp_path / "r" / "a", **keys)
    assert data.classes == tuple(sorted(NAMES))
    assert np.bincount(data.train.labels.numbers).tolist() == [4, 4, 4]
    with pytest.raises(InputError, match=r"among data.reading.class_names .* Received: 'green'"):
        load("tfrecord", tmp_path / "r" / "a", **keys, class_names=("amber", "blue"))


def add_picture(record, key, picture):
    """Return a record with one more feature, which holds these bytes."""
    parsed = tf.train.Example.FromString(record)
    parsed.features.feature[key].bytes_list.value.append(picture)
    return parsed.SerializeToString()


def test_of_two_pictures_without_a_customary_name_none_is_taken_unasked(tmp_path):
    records = [add_picture(record, "back", encode(i % 3, 50 + i))
               for i, record in enumerate(examples(18, picture_key="front"))]  # fmt: skip
    write(tmp_path / "r" / "a", records)
    with pytest.raises(InputError, match="must hold one picture") as caught:
        load("tfrecord", tmp_path / "r" / "a")
    assert "Received: pictures in 'back', 'front' of the first record" in str(caught.value)
    assert "Set data.reading.picture_key to the feature that is meant" in str(caught.value)
    train = load("tfrecord", tmp_path / "r" / "a", picture_key="front").train
    assert read(train)[0][0] in {encode(i % 3, i) for i in range(18)}


@pytest.mark.parametrize("broken", [b"no picture", encode(0, 0)[6:], b""])
def test_no_other_picture_is_taken_for_a_broken_one_of_a_customary_name(tmp_path, broken):
    """A thumbnail is a usable picture, but not the one that the user means."""
    records = [add_picture(record, "thumbnail", encode(i % 3, 50 + i))
               for i, record in enumerate(examples(18, picture_key="image"))]  # fmt: skip
    write(tmp_path / "r" / "good", records)
    images = {encode(i % 3, i) for i in range(18)}
    assert read(load("tfrecord", tmp_path / "r" / "good").train)[0][0] in images
    records[0] = add_picture(example(broken, 0, "image"), "thumbnail", encode(0, 50))
    write(tmp_path / "r" / "bad", records)
    with pytest.raises(InputError, match=r"pictures in 'thumbnail' .*; 'image' holds none that"):
        load("tfrecord", tmp_path / "r" / "bad")
    with pytest.raises(InputError, match="1 of 18 records"):
        load("tfrecord", tmp_path / "r" / "bad", picture_key="image")


def test_an_image_that_is_a_number_is_no_picture(tmp_path):
    records = []
    for index, record in enumerate(examples(18, picture_key="jpeg")):
        parsed = tf.train.Example.FromString(record)
        parsed.features.feature["image"].int64_list.value.append(index)
        records.append(parsed.SerializeToString())
    write(tmp_path / "r" / "a", records)
    assert load("tfrecord", tmp_path / "r" / "a").counts["train"] == 12


@pytest.mark.parametrize("kind", KINDS)
def test_records_with_several_labels_give_rows(tmp_path, kind):
    sets = ([0], [0, 2], [], [1, 2])
    records = [example(encode(i % 3, i), sets[i % 4]) for i in range(24)]
    write(tmp_path / "r" / "a", records, kind)
    data = load(kind, tmp_path / "r" / "a", class_names=NAMES)
    assert data.task is TASKS["several"]
    rows = {encode(i % 3, i): np.isin(range(3), sets[i % 4]).astype(np.int8) for i in range(24)}
    for split in (data.train, data.validation, data.test):
        assert split.labels.rows.dtype == np.int8
        for (picture, label), expected in zip(read(split), split.labels.rows, strict=True):
            np.testing.assert_array_equal(label, expected)
            np.testing.assert_array_equal(label, rows[picture])
    assert "6 have none" in data.notes[0]


def spoiled():
    records = examples(24)
    records[3] = example(encode(0, 3)[:200], 0)
    records[7] = example(b"no picture", 1)
    records[8] = example(b"", 2)
    records[11] = b"\xff\xff\xff"
    return records


@pytest.mark.parametrize("kind", KINDS)
def test_bad_pictures_are_named_by_file_and_record_or_left_out(tmp_path, kind):
    path = write(tmp_path / "r" / "a", spoiled(), kind)
    with pytest.raises(InputError, match="4 of 24 records") as caught:
        load(kind, path)
    for number in (3, 7, 8, 11):
        assert f"{path}, record {number}: " in str(caught.value)
    data = load(kind, path, on_bad="quarantine")
    assert [bad.path for bad in data.quarantined] == [f"{path}, record {n}" for n in (3, 7, 8, 11)]
    pictures = [p for s in (data.train, data.validation, data.test) for p, _ in read(s)]
    good = [encode(i % 3, i) for i in range(24) if i not in (3, 7, 8, 11)]
    assert sorted(pictures) == sorted(good)


@pytest.mark.parametrize(
    "record", [b"\xff\xff\xff", example(b"no picture", 0)], ids=["no example", "no picture"]
)
def test_a_split_without_a_readable_picture_is_refused(tmp_path, record):
    write(tmp_path / "r" / "train", examples(12))
    write(tmp_path / "r" / "test", [record])
    splits = {"train": "train", "test": "test"}
    with pytest.raises(InputError, match="1 of 13 records"):
        load("tfrecord", tmp_path / "r", **splits)
    with pytest.raises(InputError, match="none in the records of the test split"):
        load("tfrecord", tmp_path / "r", **splits, on_bad="quarantine")


def cut_end(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_bytes(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 0xFF
    path.write_bytes(data)


def compress_and_cut(path):
    path.write_bytes(gzip.compress(path.read_bytes())[:-300])


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("tfrecord", cut_end),
        ("tfrecord", flip_bytes),
        ("tfrecord", compress_and_cut),
        ("arrayrecord", cut_end),
        ("arrayrecord", flip_bytes),
    ],
)
def test_a_broken_file_is_named_with_the_record(tmp_path, kind, spoil):
    path = write(tmp_path / "r" / "broken", examples(100), kind)
    spoil(path)
    for policy in ("fail", "quarantine"):
        with pytest.raises(InputError, match=r"Received: '.*/broken', .*at record \d+"):
            load(kind, path, on_bad=policy)


def test_the_record_at_which_a_file_breaks_is_the_right_one(tmp_path):
    """The 30th record of 40 has a corrupt byte, and the 29 before it can be read."""
    plain = write(tmp_path / "r" / "a", examples(40))
    data = bytearray(plain.read_bytes())
    data[data.index(encode(29 % 3, 29)) + 50] ^= 0xFF
    plain.write_bytes(data)
    with pytest.raises(InputError, match="at record 29"):
        load("tfrecord", plain)
    packed = write(tmp_path / "r" / "b", examples(40), "arrayrecord")
    data = bytearray(packed.read_bytes())
    data[data.index(encode(29 % 3, 29)) + 50] ^= 0xFF
    packed.write_bytes(data)
    with pytest.raises(InputError, match="at record 29"):
        load("arrayrecord", packed)


def test_missing_shards_are_noted(tmp_path):
    for shard in (0, 2):
        write(tmp_path / "r" / f"x-{shard:05d}-of-00003", examples(15, 20 * shard))
    assert load("tfrecord", tmp_path / "r" / "x*").notes[0].startswith("2 of 3 files of ")


def test_a_pattern_is_kept_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert data_config(source="tfrecord:a/b-*").source == f"tfrecord:{tmp_path}/a/b-*"
    assert data_config(source="tfrecord:gs://a/b-*").source == "tfrecord:gs://a/b-*"


def test_labels_that_are_rows_of_zeros_and_ones_need_names():
    rows = {"train": [(1, 0, 0), (0, 1, 1)]}
    classes, task, labels = to_labels(rows, TASKS, NAMES)
    assert classes == NAMES
    assert task.name == "several"
    np.testing.assert_array_equal(labels["train"].rows, [[1, 0, 0], [0, 1, 1]])
    with pytest.raises(InputError, match=r"need data\.reading\.class_names"):
        to_labels(rows, TASKS)


@pytest.mark.parametrize(
    ("lists", "names", "expected"),
    [
        ([(1,), (3,)], NAMES, "Received: 3. Numbers that start at 1"),
        ([(-1,), (0,)], (), "class numbers from 0 up"),
        ([(0,), ()], (), "1 of 2 pictures of the train split without one"),
        ([(0,), (1,)], ("a", "a"), "must differ"),
    ],
)
def test_labels_that_name_no_class_are_refused(lists, names, expected):
    with pytest.raises(InputError, match=expected):
        to_labels({"train": lists}, TASKS, names)
