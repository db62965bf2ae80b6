"""Tests of `tfxfer predict`, which gives a row for each file, whatever the file is."""

from __future__ import annotations

import csv
import io
import json
import os
import sys

import numpy as np
import pytest
from support.small import COLOURS, draw_picture, load_tool, run_model

import tfxfer
from tfxfer.commands.main import main
from tfxfer.errors import InputError
from tfxfer.modalities.pictures.view import plain_view

CLASSES = ("amber", "blue, dark", "grün")


@pytest.fixture(scope="module")
def model(weights_file):
    config = tfxfer.BackboneConfig(name="TinyNet", weights=str(weights_file), image_size_px=32)
    head = tfxfer.build_head(tfxfer.HeadConfig(), 3, seed=0)
    return tfxfer.build_model(tfxfer.build_backbone(config), head)


@pytest.fixture(scope="module")
def run_folder(model, tmp_path_factory) -> str:
    """The folder of a run with its model."""
    folder = tmp_path_factory.mktemp("run")
    model.save(folder / "model.keras")
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    return str(folder)


def predict_by_hand(model, paths) -> np.ndarray:
    view = plain_view(32)
    return run_model(model, np.stack([view(path.read_bytes()) for path in paths]))


def read_csv(path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def make_bad_kinds() -> dict[str, tuple[bytes, str]]:
    """Return the bytes of each kind of unusable file, and a part of its error."""
    tool = load_tool("make_bad_folder")
    return {
        name: (make(tool.draw("blue", 1)), said)
        for name, (make, said) in tool.KINDS.items()
        # The decoder alone would take a palette's numbers for grey.
        if isinstance(said, str) and name != "palette.bmp"
    }


def test_a_thousand_files_with_twenty_bad_ones(model, run_folder, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    kinds = list(make_bad_kinds().values())
    bad = {f"{50 * number + 7:04}.jpg": kinds[number % len(kinds)] for number in range(20)}
    assert len({said for _, said in bad.values()}) > 8
    for number in range(1000):
        path = folder / f"{number:04}.jpg"
        if path.name in bad:
            path.write_bytes(bad[path.name][0])
        else:
            draw_picture(sorted(COLOURS)[number % 3], number, side=16 + number % 9).save(path)
    out = tmp_path / "rows.csv"
    assert main(["predict", run_folder, str(folder), "--out", str(out), "--probabilities"]) == 1
    told = capsys.readouterr().err
    assert "980 pictures predicted, 20 could not be (named above)" in told

    rows = read_csv(out)
    assert [row["path"] for row in rows] == [str(folder / f"{n:04}.jpg") for n in range(1000)]
    assert list(rows[0])[-3:] == ["p_amber", "p_blue, dark", "p_grün"]
    good = [row for row in rows if not row["error"]]
    assert len(good) == 980
    expected = predict_by_hand(model, sorted(p for p in folder.iterdir() if p.name not in bad))
    assert [row["label_1"] for row in good] == [CLASSES[n] for n in expected.argmax(axis=1)]
    assert len({row["label_1"] for row in good}) > 1
    given = np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in good])
    np.testing.assert_allclose(given, expected, atol=1e-5)
    for row in rows:
        if row["error"]:
            assert bad[os.path.basename(row["path"])][1] in row["error"]
            assert f"{row['path']}: {row['error']}" in told
            assert set(list(row.values())[2:]) == {""}


def test_each_kind_of_bad_file_is_named_as_an_audit_does(run_folder, tmp_path):
    folder = tmp_path / "bad"
    said = load_tool("make_bad_folder").make_bad_folder(folder)
    for row in tfxfer.predict(run_folder, folder):
        expected = said.get(row.path, ())
        if isinstance(expected, str):
            if not row.path.endswith("palette.bmp"):
                assert expected in row.error, row.path
        else:
            assert not row.error and len(row.labels) == 3, row.path


def test_json_lines_keep_the_order_of_what_was_named(
    model, run_folder, own_folder, tmp_path, capsys, monkeypatch
):
    files = sorted(own_folder.glob("*/*.jpg"))
    listed = b"\xef\xbb\xbf%s\r\n\nnowhere.jpg\n%s\n" % (bytes(files[3]), bytes(own_folder))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
    places = [str(files[5]), "-", str(files[5]), str(own_folder / "b*" / "*.jpg")]
    vectors = tmp_path / "vectors.npz"
    options = ["--format", "jsonl", "--top-k", "9", "--embeddings", str(vectors)]
    assert main(["predict", run_folder, *places, *options, "--batch-size", "2"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    blue = sorted(map(str, (own_folder / "blue").iterdir()))
    named = [str(files[5]), str(files[3]), "nowhere.jpg", str(own_folder), str(files[5]), *blue]
    assert [line["path"] for line in lines] == named
    assert lines[2] == {
        "path": "nowhere.jpg", "error": "cannot be read (No such file or directory)"
    }  # fmt: skip
    assert lines[3]["error"] == "cannot be read (Is a directory)"
    expected = predict_by_hand(model, [files[5]])[0]
    assert lines[0]["labels"] == [CLASSES[n] for n in np.argsort(-expected)]
    np.testing.assert_allclose(lines[0]["scores"], np.sort(expected)[::-1], atol=1e-5)
    with np.load(vectors) as stored:
        assert stored["paths"].tolist() == [p for n, p in enumerate(named) if n not in (2, 3)]
        assert stored["embeddings"].shape == (9, 48)
        assert stored["embeddings"].dtype == np.float32
        row = tfxfer.predict(run_folder, files[5], embeddings=True, probabilities=True)[0]
        np.testing.assert_allclose(stored["embeddings"][0], row.embedding, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(row.probabilities, expected, atol=1e-5)


def test_a_table_shows_a_hundred_rows_and_counts_classes(
    run_folder, own_folder, capsys, monkeypatch
):
    monkeypatch.chdir(own_folder)
    paths = ["blue/000.jpg"] * 103
    assert main(["predict", run_folder, *paths, "--format", "table"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("000.jpg") == 100
    assert "and 3 more; all of them: --out FILE.csv" in printed.out
    label = tfxfer.predict(run_folder, paths[0])[0].labels[0]
    assert f"103 pictures predicted: {label} 103" in printed.err


def test_names_that_are_no_utf8_are_written_as_escapes(run_folder, tmp_path, capsys):
    folder = os.fsencode(tmp_path)
    draw_picture("blue", 1).save(tmp_path / "a.jpg")
    os.rename(folder + b"/a.jpg", folder + b"/\xff.jpg")
    with open(folder + b"/[red]\xfe.jpg", "wb") as stream:
        stream.write(b"no picture")
    for form in ("csv", "jsonl", "table"):
        out = [] if form == "table" else ["--out", str(tmp_path / f"rows.{form}")]
        assert main(["predict", run_folder, str(tmp_path), "--format", form, *out]) == 1
        assert r"[red]\udcfe.jpg: not a picture" in capsys.readouterr().err
    assert read_csv(tmp_path / "rows.csv")[1]["path"] == str(tmp_path / r"\udcff.jpg")
    text = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()[1]
    assert json.loads(text)["path"] == str(tmp_path / r"\udcff.jpg")


def test_what_cannot_be_meant_is_refused(run_folder, own_folder, tmp_path, capsys, monkeypatch):
    (tmp_path / "there.csv").write_text("kept")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    for given, message in (
        ([str(own_folder), "--top-k", "0"], "top_k must be 1 or more. Received: 0"),
        ([str(own_folder), "--batch-size", "-1"], "batch_size must be 1 or more"),
        ([str(own_folder), "--out", str(tmp_path / "x.jpg"), "--format", "csv"], "but a picture's"),
        ([str(own_folder), "--out", str(tmp_path / "x")], "--out must name a file that ends in"),
        ([str(own_folder), "--out", str(tmp_path / "gone" / "x.csv")], "a folder of this machine"),
        ([str(own_folder), "--out", str(tmp_path / "there.csv")], "say --overwrite"),
        ([str(own_folder), "--out", str(tmp_path), "--format", "csv"], "must name a new file"),
        ([str(own_folder), "--embeddings", str(tmp_path / "x.csv")], "ends in .npz"),
        ([str(own_folder), "--format", "table", "--out", str(tmp_path / "x.csv")], "table"),
        ([str(tmp_path / "empty")], "with none, and 1 other files"),
        ([str(tmp_path / "*.jpg")], "a pattern: "),
        (["-"], "'-' reads paths of pictures"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        assert main(["predict", run_folder, *given]) == 2, given
        assert message in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "gone"), str(own_folder)]) == 2
    assert "where there is none. Check the path" in capsys.readouterr().err
    with pytest.raises(InputError, match="Name at least one"):
        tfxfer.predict(run_folder, [])
    assert (tmp_path / "there.csv").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "photos", "there.csv"]


def test_a_file_is_replaced_when_asked_for(run_folder, own_folder, tmp_path):
    out = tmp_path / "rows.csv"
    out.write_text("old")
    given = ["predict", run_folder, str(own_folder), "--out", str(out), "--overwrite"]
    assert main(given) == 0
    assert len(read_csv(out)) == 18
    assert not list(tmp_path.glob(".*"))


def test_a_reader_who_has_enough_ends_it_in_silence(run_folder, own_folder, capsys, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["predict", run_folder, str(own_folder), "--format", "csv"]) == 0
    assert "error" not in capsys.readouterr().err
