"""Tests of Python data sets, which become files in the cache and are read like any others."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from support.parts import head_arguments
from support.small import COLOURS, draw_picture

import tfxfer
from tfxfer.cache.folder import clear_others
from tfxfer.config.data import DataConfig
from tfxfer.errors import InputError
from tfxfer.kinds import TASKS
from tfxfer.modalities.pictures.decode import decode_picture
from tfxfer.sources.python_dataset import write_dataset
from tfxfer.training.load import load_data

pytestmark = pytest.mark.slow

NAMES = tuple(COLOURS)
PIXELS = np.stack([np.asarray(draw_picture(NAMES[i % 3], i, 16)) for i in range(18)])
LABELS = np.arange(18) % 3
PAIRS = tf.data.Dataset.from_tensor_slices((PIXELS, LABELS))


def load(data, folder, names=NAMES):
    return load_data(DataConfig(source=write_dataset(data, str(folder), names)), seed=0)


def pairs(data):
    for split in (data.train, data.validation, data.test):
        for encoded, label in split.encoded():
            yield decode_picture(encoded).numpy(), label.numpy()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("batch", [None, 4])
def test_pixels_come_back_as_they_were(tmp_path, dtype, batch):
    dataset = tf.data.Dataset.from_tensor_slices((PIXELS.astype(dtype), LABELS))
    data = load(dataset.batch(batch) if batch else dataset, tmp_path)
    known = {picture.tobytes(): label for picture, label in zip(PIXELS, LABELS, strict=True)}
    found = {picture.tobytes(): label for picture, label in pairs(data)}
    assert found == known
    assert data.classes == NAMES


def test_encoded_pictures_with_names_are_kept_byte_by_byte(tmp_path):
    encoded = []
    for index in range(18):
        buffer = io.BytesIO()
        draw_picture(NAMES[index % 3], index, 16).save(buffer, "JPEG")
        encoded.append(buffer.getvalue())
    names = [NAMES[label] for label in LABELS]
    data = load(tf.data.Dataset.from_tensor_slices((encoded, names)), tmp_path, ())
    kept = [bytes(x) for s in (data.train, data.validation, data.test)
            for x, _ in s.encoded().as_numpy_iterator()]  # fmt: skip
    assert sorted(kept) == sorted(encoded)
    assert data.classes == tuple(sorted(NAMES))


def test_another_order_is_the_same_folder(tmp_path):
    first = write_dataset(PAIRS, str(tmp_path), NAMES)
    assert write_dataset(PAIRS.shuffle(18, seed=1), str(tmp_path), NAMES) == first
    assert len(list((tmp_path / "datasets").iterdir())) == 1


def test_what_a_run_reads_is_not_cleared(tmp_path):
    data = load(PAIRS, tmp_path)
    clear_others(tmp_path)
    assert all(Path(path).is_file() for path in data.train.paths)


def test_splits_grey_pictures_and_rows(tmp_path):
    rows = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 0]] * 3)
    dataset = tf.data.Dataset.from_tensor_slices((PIXELS[:12, ..., 0], rows))
    data = load({"train": dataset, "val": dataset.take(4), "test": dataset.skip(8)}, tmp_path)
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == [12, 4, 4]
    assert data.task is TASKS["several"]
    known = {PIXELS[i, ..., 0].tobytes(): rows[i].tolist() for i in range(12)}
    for picture, label in pairs(data):
        assert known[picture[..., 0].tobytes()] == label.tolist()
    one_hot = tf.data.Dataset.from_tensor_slices((PIXELS, np.eye(3, dtype=np.float32)[LABELS]))
    assert load(one_hot, tmp_path).task is TASKS["classes"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (PAIRS.repeat(), "an infinite train data set"),
        (PAIRS.map(lambda x, y: x), "pairs"),
        (PAIRS.batch(2).batch(2), "unbatch"),
        (PAIRS.map(lambda x, y: (tf.cast(x, tf.float32) / 255, y)), "Multiply them by 255"),
        (PAIRS.map(lambda x, y: (tf.cast(x, tf.float32) - 300, y)), "numbers in 0…255"),
        (PAIRS.map(lambda x, y: (x, tf.cast(y, tf.float32))), "A label is"),
        (PAIRS.take(0), "must hold pictures"),
        ({"trian": PAIRS}, "Did you mean 'train'"),
        ({"train": [1]}, "from_tensor_slices"),
    ],
)
def test_what_cannot_be_read_is_refused_and_leaves_nothing(tmp_path, data, expected):
    with pytest.raises(InputError, match="Received: ") as caught:
        write_dataset(data, str(tmp_path), NAMES)
    assert expected in str(caught.value)
    assert not list(tmp_path.glob("datasets/*"))


def test_a_data_set_is_planned_as_any_data_and_leaves_nothing(weights_file, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own = {
        "data__reading__class_names": list(NAMES),
        "features__cache_dir": str(tmp_path / "cache"),
    }
    plan = tfxfer.plan("photos", data=PAIRS, quiet=True, **head_arguments(weights_file, **own))
    assert plan.class_counts == dict.fromkeys(NAMES, 4)
    assert plan.source.startswith(f"dataset:{tmp_path}/tfxfer-plan-")
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
