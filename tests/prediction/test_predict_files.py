"""Tests of the way from named files to rows: the list of files, and their batches."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from support.small import write_classes

import tfxfer
from tfxfer.errors import InputError
from tfxfer.prediction.named import list_items
from tfxfer.prediction.predict_files import predict_files
from tfxfer.prediction.predictor import Prediction, PredictionError, Predictor


def make_predictor(run, prepare=lambda encoded: encoded) -> Predictor:
    return Predictor("by hand", ("a", "b"), prepare, run)


def answer_all(items) -> Prediction:
    return Prediction(np.tile(np.float32([0.25, 0.75]), (len(items), 1)))


def test_a_batch_that_fails_is_tried_one_by_one(tmp_path):
    sizes = []

    def run(items):
        sizes.append(len(items))
        if b"bad" in items:
            raise PredictionError("the model chokes on it")
        return answer_all(items)

    paths = []
    for number, text in enumerate((b"fine", b"bad", b"fine", b"fine")):
        paths.append(tmp_path / f"{number}.jpg")
        paths[-1].write_bytes(text)
    rows = tfxfer.predict(make_predictor(run), [*paths, "\0"], batch_size=3, top_k=1)
    assert [row.error for row in rows] == [
        "", "the model chokes on it", "", "", "cannot be read (no file can have this name)"
    ]  # fmt: skip
    assert [row.labels for row in rows] == [("b",), (), ("b",), ("b",), ()]
    assert sizes == [3, 1, 1, 1, 1]


def test_what_is_no_number_is_no_prediction(own_folder):
    def run(items):
        return Prediction(np.full((len(items), 2), np.nan))

    assert "NaN" in tfxfer.predict(make_predictor(run), own_folder / "blue" / "000.jpg")[0].error


def test_files_are_held_for_a_few_batches_only(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    prepared, most, lock = 0, 0, threading.Lock()

    def prepare(encoded):
        nonlocal prepared
        with lock:
            prepared += 1
        return encoded

    done = 0
    paths = [str(tmp_path / "a.jpg")] * 2000
    predictor = make_predictor(answer_all, prepare)
    for batch in predict_files(predictor, paths, top_k=1, batch_size=8):
        most = max(most, prepared - done)
        done += len(batch)
    assert done == prepared == 2000
    assert most <= 3 * 8 + 1


def test_folders_patterns_and_links(tmp_path, monkeypatch):
    write_classes(tmp_path / "photos", {"amber": 2, "blue": 1})
    (tmp_path / "photos" / "blue" / "loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "blue" / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "photos" / "notes.txt").write_text("x")
    (tmp_path / "photos" / ".hidden.jpg").write_text("x")
    (tmp_path / "photos" / "amber" / "a[1].JPG").write_text("x")
    folder = str(tmp_path / "photos")
    names = ["amber/000.jpg", "amber/001.jpg", "amber/a[1].JPG", "blue/000.jpg", "blue/gone.png"]
    expected = tuple(f"{folder}/{name}" for name in names)
    assert list_items([folder]).paths == expected
    assert list_items([folder, folder]).others == 2
    assert list_items([f"{folder}/am*"]).paths == expected[:3]
    assert list_items([f"{folder}/**/a*.JPG"]).paths == expected[2:3]
    assert list_items([f"{folder}/amber/**"]).paths == expected[:3]
    assert list_items([f"{folder}/**/b*"]).paths == expected[3:]
    assert list_items([f"{tmp_path}/p*/**/*.jpg"]).paths == (*expected[:2], expected[3])
    monkeypatch.chdir(folder)
    assert list_items(["**/*.jpg"]).paths == ("amber/000.jpg", "amber/001.jpg", "blue/000.jpg")
    assert list_items(["a*"]).paths == tuple(names[:3])
    # An existing file is taken as a file, even if its name looks like a pattern.
    assert list_items([expected[2]]).paths == expected[2:3]
    assert list_items([tmp_path / "gone.jpg"]).paths == (str(tmp_path / "gone.jpg"),)


def test_embeddings_come_from_a_model_that_was_loaded_with_them(own_folder):
    with pytest.raises(InputError, match="loaded without"):
        tfxfer.predict(make_predictor(answer_all), own_folder, embeddings=True)
