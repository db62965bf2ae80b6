"""Tests of the evaluation on new pictures: classes, bad files, splits, and written files."""

from __future__ import annotations

import csv
import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from support.settings import data_key
from support.small import COLOURS, draw_picture, write_classes

import tfxfer
from tfxfer.backbones.whole import build_model
from tfxfer.commands.main import main
from tfxfer.config.presets import dump_config, load_config, load_data_settings
from tfxfer.data.items import FileSet
from tfxfer.errors import InputError
from tfxfer.evaluation.class_map import read_class_map
from tfxfer.evaluation.evaluate import run_evaluation
from tfxfer.kinds import TASKS
from tfxfer.modalities.pictures.view import plain_view
from tfxfer.modality import InputSpec
from tfxfer.prediction.predict_set import predict_set
from tfxfer.prediction.predictor import Prediction, PredictionError, Predictor
from tfxfer.prediction.prepare import make_prepare
from tfxfer.records.proportions import wilson_interval
from tfxfer.report.evaluation import (
    describe,
    list_confusions,
    print_evaluation,
    write_evaluation,
    write_results,
)
from tfxfer.tasks.labels import ClassLabels

QUIET = Console(quiet=True)
SPEC = InputSpec("pictures", (32, 32, 3))
NAMES = ("green", "amber", "blue")  # This is not the order of the folders.


def make_predictor(model: keras.Model, classes=NAMES) -> Predictor:
    """Return a predictor that runs a Keras model on pictures of 32 px."""
    return Predictor(
        "colours", tuple(classes), make_prepare(SPEC),
        lambda batch: Prediction(model.predict_on_batch(np.stack(batch))), SPEC,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A network that finds the class whose colour is nearest to the mean of a picture."""
    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    dense = keras.layers.Dense(3, activation="softmax")
    model = keras.Model(inputs, dense(pooled))
    colours = np.array([COLOURS[name] for name in NAMES], np.float32)
    # |x - c|² = |x|² - 2 c·x + |c|²; the unit is chosen so that probabilities are not all 0 or 1.
    dense.set_weights([2 * colours.T / 5000, -(colours**2).sum(axis=1) / 5000])
    return model


@pytest.fixture(scope="module")
def predictor(model) -> Predictor:
    return make_predictor(model)


def run(predictor, data, split=None, mapping=None, trained_on=None, **settings):
    settings = {data_key(key): value for key, value in settings.items()}
    config = load_data_settings(data, settings)
    return run_evaluation(
        predictor, config, QUIET, split=split, mapping=mapping, trained_on=trained_on
    )


def evaluate(*args, **kwargs):
    return run(*args, **kwargs)[0]


def wrong_folder(folder):
    """Write six pictures of each class, but make two of the blue ones green."""
    write_classes(folder, dict.fromkeys(COLOURS, 6))
    for index in range(2):
        draw_picture("green", 77 + index).save(folder / "blue" / f"{index:03d}.jpg")
    return folder


def test_figures_are_by_the_model_s_classes_whatever_their_order(predictor, tmp_path):
    report, results = run(predictor, wrong_folder(tmp_path / "photos"))
    evaluation = report.evaluation
    assert (evaluation.split, evaluation.pictures) == ("all", 18)
    assert evaluation.accuracy == pytest.approx(16 / 18)
    assert evaluation.confusion == ((0, 0, 6), (1, 1, 6), (2, 0, 2), (2, 2, 4))
    assert list_confusions(report) == [("blue", "green", 2)]
    rows = {row.name: row for row in report.per_class}
    assert (rows["blue"].recall, rows["blue"].precision) == (pytest.approx(4 / 6), 1.0)
    assert rows["green"].precision_interval == pytest.approx(wilson_interval(6, 8))
    assert {n: r.f1 for n, r in rows.items()} == pytest.approx(evaluation.per_class_f1)
    for name, (low, high) in report.intervals.items():
        assert 0 < low < getattr(evaluation, name) < high <= 1
    wrong = [each for each in results if not each.is_right]
    assert [(each.true, each.predicted) for each in wrong] == [(("blue",), ("green",))] * 2
    assert any("no test split" in note for note in report.notes)
    assert report.left_out == ()


def test_a_trained_backbone_gives_what_it_gives_in_training(
    small_backbone, small_head, picture_folder
):
    """The metrics equal those that a run computes by tf.data."""
    from tfxfer.data.pipeline import make_evaluation_dataset
    from tfxfer.sources.sources import list_items

    model, names = build_model(small_backbone, small_head), tuple(COLOURS)
    report = evaluate(make_predictor(model, names), picture_folder)
    pictures = list_items(load_data_settings(picture_folder).data, TASKS).splits["train"]
    dataset = make_evaluation_dataset(pictures, plain_view(32), class_count=3, batch_size=32)
    given = model.predict(dataset, verbose=0)
    expected = TASKS["classes"].evaluate("all", pictures.labels, given, names)
    assert report.evaluation.confusion == expected.confusion
    assert report.evaluation.cross_entropy == pytest.approx(expected.cross_entropy, abs=1e-5)


def test_fewer_classes_are_evaluated_and_named(predictor, tmp_path):
    folder = write_classes(tmp_path / "photos", {"amber": 4, "blue": 4})
    report = evaluate(predictor, folder)
    assert report.evaluation.accuracy == 1.0
    assert [row.name for row in report.per_class] == ["amber", "blue"]
    assert any("1 of the model's 3 classes (green)" in note for note in report.notes)


def test_unknown_classes_are_named_with_the_way_out(predictor, tmp_path):
    folder = write_classes(tmp_path / "photos", {"amber": 3, "blue": 3})
    (folder / "blue").rename(folder / "Blues")
    with pytest.raises(InputError, match=r"'Blues' Did you mean 'blue'\?") as caught:
        evaluate(predictor, folder)
    for part in ("green, amber, blue", "1 of 2 classes", "--classes FILE", '"NAME IN THE DATA"'):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.toml", '"Deep sea" = "blue"\nsky = "blue"\ndirt = ""\ngrass = "green"\n'),
        (
            "map.json",
            '{"Deep sea": "blue", "sky": "blue", "dirt": "", "grass": "green"}',
        ),
        ("map.csv", "\ufeffDeep sea,blue\nsky, blue\n\ndirt,\ngrass,green\n"),
    ],
)
def test_a_file_maps_several_names_to_one_and_leaves_others_out(predictor, tmp_path, name, text):
    folder = write_classes(tmp_path / "photos", {"amber": 3, "blue": 3, "green": 3})
    (folder / "blue").rename(folder / "Deep sea")
    (folder / "green").rename(folder / "dirt")
    write_classes(tmp_path / "more", {"blue": 2})
    (tmp_path / "more" / "blue").rename(folder / "sky")
    (tmp_path / name).write_text(text, encoding="utf-8")
    report = evaluate(predictor, folder, mapping=read_class_map(tmp_path / name))
    assert {row.name: row.pictures for row in report.per_class} == {"amber": 3, "blue": 5}
    assert any("class dirt is left out, as --classes says: 3 pictures" in n for n in report.notes)
    assert any("do not have: grass" in note for note in report.notes)
    with pytest.raises(InputError, match=r"'sky' = 'bleu'\. Did you mean 'blue'\?"):
        evaluate(predictor, folder, mapping={"sky": "bleu"})
    with pytest.raises(InputError, match="none is left"):
        evaluate(predictor, folder, mapping=dict.fromkeys(("amber", "Deep sea", "dirt", "sky"), ""))


def test_an_umlaut_in_another_spelling_is_the_same_name(predictor, tmp_path):
    folder = write_classes(tmp_path / "photos", {"green": 2, "blue": 2})
    (folder / "green").rename(folder / "gru\u0308n")
    named = Predictor(
        "model", ("gr\u00fcn", "amber", "blue"), predictor.prepare, predictor.run, SPEC
    )
    assert evaluate(named, folder).evaluation.accuracy == 1.0


def test_the_test_split_is_taken_where_there_is_one(predictor, tmp_path, own_cache):
    for split, count in {"train": 4, "test": 2}.items():
        write_classes(tmp_path / "photos" / split, dict.fromkeys(COLOURS, count), 50 * count)
    report = evaluate(predictor, tmp_path / "photos", trained_on=str(tmp_path / "photos"))
    assert (report.evaluation.split, report.evaluation.pictures) == ("test", 6)
    assert any("the test split is evaluated" in note for note in report.notes)
    assert not any("figures flatter" in note for note in report.notes)
    report = evaluate(
        predictor, tmp_path / "photos", split="all", trained_on=str(tmp_path / "photos")
    )
    assert (report.evaluation.split, report.evaluation.pictures) == ("all", 18)
    assert any("figures flatter" in note for note in report.notes)
    remembered = sorted(path.stat().st_size for path in (own_cache / "audit").iterdir())
    assert len(remembered) == 2, "those of one split do not replace those of all"
    with pytest.raises(InputError, match=r"\(train, test\)\. Received: 'validation'"):
        evaluate(predictor, tmp_path / "photos", split="validation")
    with pytest.raises(InputError, match="Did you mean 'test'"):
        evaluate(predictor, tmp_path / "photos", split="tset")


def test_bad_pictures_are_left_out_and_named(predictor, own_folder):
    (own_folder / "blue" / "000.jpg").write_bytes(b"")
    (own_folder / "amber" / "001.jpg").write_text("no picture")
    report = evaluate(predictor, own_folder)
    assert {file.path: file.reason for file in report.left_out} == {
        str(own_folder / "blue" / "000.jpg"): "empty file",
        str(own_folder / "amber" / "001.jpg"): "not a picture",
    }
    assert (report.evaluation.pictures, report.evaluation.accuracy) == (16, 1.0)
    for path in own_folder.rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="18 cannot be used and none is left"):
        evaluate(predictor, own_folder)


def test_what_the_model_alone_cannot_read_is_left_out_too(predictor, own_folder):
    largest = max(path.stat().st_size for path in own_folder.rglob("*.jpg"))

    def prepare(encoded):
        if len(encoded) > largest:
            raise PredictionError("too many bytes")
        return predictor.prepare(encoded)

    draw_picture("blue", 3, side=200).save(own_folder / "blue" / "big.png")
    report = evaluate(Predictor("strict", NAMES, prepare, predictor.run, SPEC), own_folder)
    assert [(file.path, file.reason) for file in report.left_out] == [
        (str(own_folder / "blue" / "big.png"), "too many bytes")
    ]
    assert report.evaluation.pictures == 18


@pytest.mark.parametrize("value", [np.nan, 3.0, -0.1])
def test_what_is_no_probability_is_refused(predictor, own_folder, value):
    def run_batch(batch):
        return Prediction(np.full((len(batch), 3), value, np.float32))

    with pytest.raises(InputError, match=r"must give probabilities, 0…1"):
        evaluate(Predictor("odd", NAMES, predictor.prepare, run_batch, SPEC), own_folder)


def test_a_model_that_fails_ends_the_evaluation_in_a_line(predictor, own_folder):
    def fail(batch):
        raise PredictionError("the server answered 503")

    with pytest.raises(InputError, match="colours: the server answered 503"):
        evaluate(Predictor("colours", NAMES, predictor.prepare, fail, None), own_folder)


def test_pictures_of_records_go_the_same_way(predictor, tmp_path):
    from tfxfer.sources.tfrecords_files import TFRECORD

    path = tmp_path / "photos.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index in range(70):
            name = ("amber", "blue")[index % 2]
            picture = tmp_path / "one.jpg"
            draw_picture(name, index).save(picture)
            encoded = b"none" if index == 7 else picture.read_bytes()
            writer.write(
                tf.train.Example(
                    features=tf.train.Features(
                        feature={
                            "image": tf.train.Feature(
                                bytes_list=tf.train.BytesList(value=[encoded])
                            ),
                            "label": tf.train.Feature(
                                bytes_list=tf.train.BytesList(value=[name.encode()])
                            ),
                        }
                    )
                ).SerializeToString()
            )
    report, results = run(predictor, f"{TFRECORD}{path}")
    assert (report.evaluation.pictures, report.evaluation.accuracy) == (69, 1.0)
    assert len(report.left_out) == 1 and "7" in report.left_out[0].path
    assert len({each.path for each in results}) == 69


@pytest.fixture
def several(tmp_path):
    """A manifest of pictures whose channels are bright or dark, and a model that sees them."""
    generator = np.random.default_rng(0)
    lines = ["path,label"]
    own = ("b", "g", "r")
    labels = generator.integers(0, 2, (40, 3))
    for index, row in enumerate(labels):
        pixels = 40 + 150.0 * row[::-1] + generator.normal(0, 5, (32, 32, 3))
        tf.io.write_file(
            str(tmp_path / f"{index}.png"),
            tf.io.encode_png(pixels.clip(0, 255).astype(np.uint8)),
        )
        lines.append(
            f"{index}.png,{';'.join(n for n, given in zip(own, row, strict=True) if given)}"
        )
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    inputs = keras.Input((32, 32, 3))
    dense = keras.layers.Dense(3, activation="sigmoid")
    model = keras.Model(inputs, dense(keras.layers.GlobalAveragePooling2D()(inputs)))
    # The model sees the second label badly.
    weights = np.diag([0.1, 0.003, 0.1])
    dense.set_weights([weights, -115 * weights.sum(axis=0)])
    return make_predictor(model, ("r", "g", "b")), tmp_path / "list.csv"


def test_several_labels_become_rows_in_the_model_s_order(several):
    predictor, manifest = several
    report, results = run(predictor, manifest, label_separator=";")
    assert report.evaluation.accuracy == 1.0
    assert report.evaluation.mean_average_precision == pytest.approx(1.0)
    assert set(report.intervals) == {
        "macro_f1", "macro_recall", "micro_f1", "mean_average_precision"
    }  # fmt: skip
    assert report.evaluation.confusion is None and list_confusions(report) == []
    assert report.expected_calibration_error > 0.1, "the second label's doubt"
    assert [row.name for row in report.per_class] == ["r", "g", "b"]
    assert any(len(each.true) == 2 for each in results)
    report = evaluate(predictor, manifest, mapping={"g": ""}, label_separator=";")
    assert report.evaluation.pictures == 40 and len(report.per_class) == 2
    assert any("class g is left out" in n and n.endswith("labels") for n in report.notes)


def test_kinds_of_model_and_data_that_do_not_go_together_are_told(several, predictor, own_folder):
    of_several, manifest = several
    named = Predictor("n", ("r", "g", "b"), predictor.prepare, predictor.run, SPEC)
    report = evaluate(named, manifest, label_separator=";")
    assert any("made for one" in note for note in report.notes)
    other = Predictor("n", NAMES, of_several.prepare, of_several.run, SPEC)
    assert any("do not sum to 1" in note for note in evaluate(other, own_folder).notes)


def test_what_is_written_holds_all_figures(predictor, tmp_path):
    folder = wrong_folder(tmp_path / "photos")
    (folder / "green" / "000.jpg").write_bytes(b"")
    report, results = run(predictor, folder)
    write_evaluation(tmp_path / "out.json", report)
    write_results(tmp_path / "out.csv", results)
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert found == json.loads(json.dumps(describe(report)))
    assert found["accuracy"] == pytest.approx(15 / 17)
    assert found["macro_f1_interval"] == list(report.intervals["macro_f1"])
    assert found["per_class"]["blue"]["right"] == 4
    assert found["confusion"] == [[0, 0, 5], [1, 1, 6], [2, 0, 2], [2, 2, 4]]
    assert found["left_out"] == [
        {"path": str(folder / "green" / "000.jpg"), "reason": "empty file"}
    ]
    assert (found["model"], found["data"]) == ("colours", str(folder))
    assert "tensorflow" in found["versions"]
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 17 and set(rows[0]) == {"path", "true", "predicted", "probability", "right"}
    assert sum(int(row["right"]) for row in rows) == 15
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "out.json", "out.csv"}


def test_the_report_is_printed_weakest_class_first(predictor, tmp_path):
    folder = wrong_folder(tmp_path / "photos [1]")
    console = Console(width=120, record=True, file=io.StringIO())
    print_evaluation(console, evaluate(predictor, folder))
    text = console.export_text()
    for part in ("photos [1]", "18 pictures (all) of 3 classes", "0.889", "macro F1",
                 "blue taken for green: 2", "calibration error", "note"):  # fmt: skip
        assert part in text
    assert text.index("\n blue") < text.index("\n amber")


def test_the_command_refuses_before_it_loads_a_model(own_folder, tmp_path, capsys):
    def refuse(*arguments):
        assert main(["evaluate", str(tmp_path / "run"), *map(str, arguments)]) == 2
        return capsys.readouterr().err

    data = ("--data", own_folder)
    assert "A run's own test split was read once" in refuse()
    assert "ends in .json" in refuse(*data, "--out", tmp_path / "out.txt")
    assert "folder that exists" in refuse(*data, "--out", tmp_path / "no" / "out.json")
    assert "must lie outside" in refuse(*data, "--predictions", own_folder / "out.csv")
    (tmp_path / "out.json").write_text("kept")
    assert "say --overwrite" in refuse(*data, "--out", tmp_path / "out.json")
    assert (tmp_path / "out.json").read_text() == "kept"
    with pytest.raises(InputError, match="needs labelled pictures"):
        tfxfer.evaluate(tmp_path / "run", None)


@pytest.fixture
def run_folder(model, own_folder, tmp_path):
    """The folder of a run that trained a model on `own_folder`."""
    folder = tmp_path / "run"
    folder.mkdir()
    model.save(folder / "model.keras")
    (folder / "classes.txt").write_text("\n".join(NAMES) + "\n")
    config = dump_config(load_config("photos", data=own_folder))
    (folder / "config.toml").write_text(config, encoding="utf-8")
    return folder


def test_the_command_evaluates_a_run(run_folder, own_folder, tmp_path, capsys):
    out, predictions = tmp_path / "out.json", tmp_path / "out.csv"
    command = ["evaluate", str(run_folder), "--data", str(own_folder), "--out", str(out),
               "--predictions", str(predictions)]  # fmt: skip
    assert main(command) == 0
    printed = capsys.readouterr().out
    for part in (f"{run_folder} on {own_folder}", "1.000", "figures flatter", f"wrote {out}"):
        assert part in printed.replace("[/]", ""), part
    assert json.loads(out.read_text(encoding="utf-8"))["accuracy"] == 1.0
    assert len(predictions.read_text(encoding="utf-8").splitlines()) == 19
    (own_folder / "blue" / "000.jpg").write_bytes(b"")
    assert main(command) == 2, "the files are there"
    assert "say --overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--quiet"]) == 1, "a picture was left out"
    assert json.loads(out.read_text(encoding="utf-8"))["pictures"] == 17
    assert capsys.readouterr().out == ""


def test_python_takes_a_mapping_and_a_data_set(run_folder):
    pictures = np.stack([np.asarray(draw_picture(n, 5)) for n in COLOURS for _ in range(2)])
    pictures[::2, 0, 0] = 0  # This makes all pictures different.
    names = tf.constant([name.upper() for name in COLOURS for _ in range(2)])
    data = tf.data.Dataset.from_tensor_slices((pictures, names))
    report = tfxfer.evaluate(
        run_folder, data, classes={name.upper(): name for name in COLOURS}, quiet=True
    )
    assert (report.evaluation.pictures, report.evaluation.accuracy) == (6, 1.0)
    with pytest.raises(InputError, match=r"'AMBER' Did you mean 'amber'"):
        tfxfer.evaluate(run_folder, data, quiet=True)


def test_few_pictures_are_in_memory_at_a_time(predictor, own_folder):
    paths = tuple(map(str, own_folder.rglob("*.jpg"))) * 20
    alive: list[int] = []
    counts = {"prepared": 0, "predicted": 0}

    def prepare(encoded):
        counts["prepared"] += 1
        return predictor.prepare(encoded)

    def run_batch(batch):
        counts["predicted"] += len(batch)
        alive.append(counts["prepared"] - counts["predicted"])
        return predictor.run(batch)

    watched = Predictor("watched", NAMES, prepare, run_batch, SPEC)
    gone = (*paths, str(own_folder / "gone.jpg"))
    probabilities, rows, bad = predict_set(
        watched, FileSet(gone, ClassLabels(np.zeros(361, np.int64)))
    )
    assert probabilities.shape == (360, 3) and rows.tolist() == list(range(360))
    assert [file.reason for file in bad] == ["cannot be read (No such file or directory)"]
    assert max(alive) <= 3 * 32
