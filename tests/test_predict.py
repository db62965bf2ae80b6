"""What pictures show: a row for each file, whatever the file is."""

from __future__ import annotations

import csv
import io
import json
import sys

import numpy as np
import pytest
from conftest import COLOURS, draw_picture, load_tool

import tfxfer
from tfxfer.cli import main
from tfxfer.config import HeadConfig
from tfxfer.data.pipeline import plain_view
from tfxfer.errors import InputError
from tfxfer.prediction.places import list_pictures
from tfxfer.prediction.predictor import Prediction, PredictionError, Predictor


@pytest.fixture(scope="module")
def model(weights_file):
    config = tfxfer.BackboneConfig(
        name="MobileNet", weights=str(weights_file), alpha=0.25, image_size_px=32
    )
    head = tfxfer.build_head(HeadConfig(), 3, seed=0)
    return tfxfer.build_model(tfxfer.build_backbone(config), head)


@pytest.fixture(scope="module")
def run_folder(model, tmp_path_factory):
    """What predicts of a run: its model and the names of its classes."""
    folder = tmp_path_factory.mktemp("run")
    model.save(folder / "model.keras")
    (folder / "classes.txt").write_text("amber\nblue\ngrün, hell\n", encoding="utf-8")
    return folder


def predict_by_hand(model, paths):
    view = plain_view(32)
    return model.predict(np.stack([view(path.read_bytes()) for path in paths]), verbose=0)


def test_a_thousand_files_with_twenty_bad_ones(model, run_folder, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    encoded = []
    for number in range(50):
        buffer = io.BytesIO()
        draw_picture(sorted(COLOURS)[number % 3], number, side=24).save(buffer, "JPEG")
        encoded.append(buffer.getvalue())
    bad = {
        "0007.jpg": b"", "0013.jpg": b"GIF89a" + b"\0" * 60, "0100.jpg": b"<html></html>",
        "0500.jpg": encoded[0][:200], "0999.jpg": b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
    }  # fmt: skip
    bad |= {f"{number:04}.jpg": encoded[1][:100] for number in range(600, 615)}
    for number in range(1000):
        name = f"{number:04}.jpg"
        (folder / name).write_bytes(bad.get(name, encoded[number % 50]))
    out = tmp_path / "rows.csv"
    given = ["predict", str(run_folder), str(folder), "--out", str(out), "--probabilities"]
    assert main(given) == 1
    with open(out, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [str(folder / f"{n:04}.jpg") for n in range(1000)]
    named = {row["path"].rsplit("/")[-1] for row in rows if row["error"]}
    assert named == set(bad)
    expected = predict_by_hand(model, [folder / f"00{n:02}.jpg" for n in range(20, 70)])
    classes = ("amber", "blue", "grün, hell")
    for number, row in enumerate(rows):
        if row["error"]:
            assert row["label_1"] == row["p_amber"] == ""
            continue
        wanted = expected[(number - 20) % 50]
        assert row["label_1"] == classes[wanted.argmax()]
        assert float(row["score_1"]) == pytest.approx(wanted.max(), abs=1e-5)
        assert float(row["p_grün, hell"]) == pytest.approx(wanted[2], abs=1e-5)
    told = capsys.readouterr().err
    assert "980 pictures predicted" in told and "20 could not be used" in told
    assert "0007.jpg: empty file" in told and "a GIF file; convert it" in told
    # An earlier file is not lost to a second call.
    assert main(given) == 2
    assert "which is there. Say --overwrite" in capsys.readouterr().err


def test_odd_pictures_are_predicted_as_the_audit_reads_them(run_folder, tmp_path):
    kinds = load_tool("make_bad_folder").make_bad_folder(tmp_path)
    rows = tfxfer.predict(run_folder, tmp_path)
    errors = {row.path for row in rows if row.error}
    faulty = {str(tmp_path / name) for name, kind in kinds.items() if isinstance(kind, str)}
    assert faulty and errors == faulty & {row.path for row in rows}


def test_json_lines_embeddings_and_the_order_of_what_is_named(
    model, run_folder, own_folder, tmp_path, capsys, monkeypatch
):
    files = sorted(own_folder.glob("*/*.jpg"))
    listed = io.BytesIO(b"%s\n\nnowhere.jpg\n" % bytes(files[3]))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(listed))
    places = [str(files[5]), "-", str(own_folder / "b*" / "*.jpg")]
    embeddings = tmp_path / "vectors.npz"
    given = ["--format", "jsonl", "--top-k", "9", "--embeddings", str(embeddings)]
    assert main(["predict", str(run_folder), *places, *given]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    blue = sorted((own_folder / "blue").iterdir())
    assert [line["path"] for line in lines] == [
        str(files[5]), str(files[3]), "nowhere.jpg", *map(str, blue)
    ]  # fmt: skip
    assert lines[2] == {
        "path": "nowhere.jpg", "error": "cannot be read (No such file or directory)"
    }  # fmt: skip
    expected = predict_by_hand(model, [files[5]])[0]
    np.testing.assert_allclose(lines[0]["scores"], np.sort(expected)[::-1], atol=1e-5)
    with np.load(embeddings) as stored:
        assert stored["paths"].tolist() == [lines[n]["path"] for n in (0, 1, *range(3, 9))]
        assert stored["embeddings"].shape == (8, 256)
        np.testing.assert_allclose(stored["embeddings"][0], tfxfer.predict(
            run_folder, files[5], embeddings=True)[0].embedding, atol=1e-4)  # fmt: skip


def test_a_terminal_gets_a_table(run_folder, own_folder, capsys):
    name = str(own_folder / "blue" / "000.jpg")
    assert main(["predict", str(run_folder), name, "--format", "table"]) == 0
    printed = capsys.readouterr().out
    assert "label" in printed and "%" in printed


def test_a_batch_that_fails_is_tried_one_by_one(tmp_path):
    batches = []

    def run(items):
        batches.append(len(items))
        if b"bad" in items:
            raise PredictionError("the model chokes on it")
        return Prediction(np.tile([[0.2, 0.8]], (len(items), 1)))

    predictor = Predictor("x", ("a", "b"), lambda encoded: encoded, run)
    paths = [tmp_path / f"{number}.jpg" for number in range(4)]
    for path, text in zip(paths, (b"fine", b"bad", b"fine", b"fine"), strict=True):
        path.write_bytes(text)
    rows = tfxfer.predict(predictor, paths, batch_size=3, top_k=1)
    assert [row.error for row in rows] == ["", "the model chokes on it", "", ""]
    assert [row.labels for row in rows] == [("b",), (), ("b",), ("b",)]
    assert batches == [3, 1, 1, 1, 1]


def test_what_cannot_be_meant_is_refused(run_folder, tmp_path, capsys):
    with pytest.raises(InputError, match="A folder must hold pictures"):
        list(list_pictures([tmp_path], []))
    with pytest.raises(InputError, match="A pattern must match files"):
        list(list_pictures([tmp_path / "*.jpg"], []))
    (tmp_path / "notes.txt").write_text("x")
    draw_picture("blue", 1).save(tmp_path / "a[1].png")
    notes = []
    assert list(list_pictures([tmp_path], notes)) == [str(tmp_path / "a[1].png")]
    assert notes == [f"1 files in {tmp_path} have no picture's ending and were not read"]
    assert list(list_pictures([tmp_path / "a[1].png"], [])) == [str(tmp_path / "a[1].png")]
    for given, message in (
        (["--top-k", "0"], "--top-k and --batch-size must be 1 or more"),
        (["--format", "table", "--out", str(tmp_path / "x.csv")], "a table is for a terminal"),
        (["--out", str(tmp_path / "gone" / "x.csv")], "lies in a folder that is there"),
    ):
        assert main(["predict", str(run_folder), str(tmp_path), *given]) == 2
        assert message in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "gone"), str(tmp_path)]) == 2
    assert "where there is none. Check the path" in capsys.readouterr().err
