"""Tests that an audit finds faults, oddities and copies, and that training goes on without them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from rich.console import Console
from support.parts import judge_model
from support.settings import data_config
from support.small import load_tool, write_classes

import tfxfer
from tfxfer.backbones.whole import build_model
from tfxfer.commands.main import main
from tfxfer.config.presets import load_config
from tfxfer.data.audit import audit_listing
from tfxfer.data.items import FileSet
from tfxfer.errors import InputError
from tfxfer.kinds import TASKS
from tfxfer.machine.processes import ALONE
from tfxfer.modalities.pictures.decode import decode_picture
from tfxfer.modalities.pictures.look import look_at_file, look_at_pictures
from tfxfer.modalities.pictures.view import plain_view
from tfxfer.sources.sources import list_items
from tfxfer.tasks.labels import ClassLabels
from tfxfer.training.job import prepare
from tfxfer.training.load import load_data
from tfxfer.training.phase import train_phases
from tfxfer.training.plan import make_plan
from tfxfer.training.resume.keeper import Keeper

tool = load_tool("make_bad_folder")


@pytest.fixture(scope="module")
def bad_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad") / "photos"
    return folder, tool.make_bad_folder(folder)


def audit(folder, cache=None, **changes):
    listing = list_items(data_config(source=str(folder), **changes), TASKS)
    return audit_listing(listing, cache=cache)


def test_every_kind_of_bad_and_odd_file_is_found_and_named(bad_folder):
    folder, said = bad_folder
    assert len(said) >= 25
    looks = {look.path: look for look in audit(folder).looks}
    assert len(looks) == 3 * tool.GOOD_PICTURES + len(said)
    for path, expected in said.items():
        if isinstance(expected, str):
            assert expected in str(looks[path].fault), path
        else:
            assert (looks[path].fault, looks[path].oddities) == (None, expected), path
    others = [look for path, look in looks.items() if path not in said]
    assert not [look for look in others if look.fault or look.oddities]


def test_pictures_are_seen_alike_together_one_by_one_and_beside_broken_ones(bad_folder):
    folder, _ = bad_folder
    paths = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    each = {path: look_at_file(path) for path in paths}
    usable = [path for path in paths if not each[path].fault]
    assert 0 < len(usable) < len(paths)
    for shown in (usable, paths):
        together = look_at_pictures(
            FileSet(tuple(shown), ClassLabels(np.zeros(len(shown), np.int64)))
        )
        assert together == [each[path] for path in shown]


def test_training_runs_to_its_end_with_exactly_the_good_ones(bad_folder, small, tmp_path):
    folder, said = bad_folder
    small["settings"] |= {"data.reading.on_bad": "quarantine"}
    given = {name: small[name] for name in ("backbone", "weights", "settings")}
    config = load_config("photos", data=str(folder), **given)
    job = prepare(config, Console(quiet=True), share=ALONE)
    plan, model = make_plan(config, job), build_model(job.backbone, job.head)
    keeper = Keeper(None, job.features, 0.0)
    phases = train_phases(job, model, keeper=keeper, staging=tmp_path)
    assert len(phases) == 2
    evaluations = judge_model(model, job.items)[:2]
    expected = [plan.counts[split] for split in ("validation", "test")]
    assert [each.pictures for each in evaluations] == expected
    bad = {path for path, expected in said.items() if isinstance(expected, str)}
    assert {file.path for file in job.items.quarantined} == bad
    good = 3 * tool.GOOD_PICTURES + len(said) - len(bad)
    assert sum(plan.counts.values()) == good
    assert any("unusual pictures" in note and "1 turned" in note for note in plan.notes)
    before = {path.name for path in folder.rglob("*") if path.is_file()}
    assert before == {Path(path).name for path in said} | {f"{i:03d}.jpg" for i in range(12)}


def test_audit_training_and_serving_see_the_same_pixels(bad_folder):
    """Training and the export's `serve_bytes` both call `plain_view`."""
    for path, expected in bad_folder[1].items():
        if isinstance(expected, str) or "big" in path:
            continue
        encoded = Path(path).read_bytes()
        pixels = decode_picture(tf.constant(encoded))
        resized = tf.image.resize(pixels, (16, 16), antialias=True)
        seen = np.frombuffer(look_at_file(path).thumbnail, np.uint8).reshape(16, 16, 3)
        np.testing.assert_allclose(plain_view(16)(tf.constant(encoded)), resized, atol=12)
        np.testing.assert_allclose(seen, resized, atol=12, err_msg=path)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGBA"), ("PNG", "LA"), ("WEBP", "RGBA"), ("BMP", "RGB"), ("BMP", "RGBA")],
)
def test_what_is_transparent_is_laid_over_white(kind, mode):
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (20, 30, len(mode) if mode != "LA" else 2))
    picture = Image.fromarray(pixels.astype(np.uint8), mode)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    decoded = decode_picture(tf.constant(tool.encode(picture, kind, **options))).numpy()
    white = Image.new("RGBA", picture.size, "white")
    over = Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    # The fourth channel of a BMP is unused.
    expected = picture.convert("RGB") if kind == "BMP" else over
    assert np.abs(decoded.astype(int) - np.asarray(expected)).max() <= 1


@pytest.mark.parametrize(
    ("mode", "key"), [("RGB", (10, 20, 30)), ("L", 77), ("RGB", None), ("L", None)]
)
def test_a_colour_that_a_png_calls_transparent_becomes_white(mode, key):
    picture = tool.draw("blue", 3).convert(mode)
    picture.paste(key or 0, (0, 0, 20, 20))
    options = {} if key is None else {"transparency": key}
    decoded = decode_picture(tf.constant(tool.encode(picture, "PNG", **options))).numpy()
    expected = np.array(picture.convert("RGB"))
    if key is not None:
        expected[(np.array(picture).reshape(*expected.shape[:2], -1) == key).all(axis=2)] = 255
        assert (expected[:20, :20] == 255).all()
    np.testing.assert_array_equal(decoded, expected)


def test_an_animated_webp_is_refused_in_the_graph_too():
    """TensorFlow's decoder would crash the process."""
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_picture(tf.constant(tool._frames(tool.draw("blue", 1), "WEBP")))


def test_a_file_that_is_gone_or_no_file_is_named(tmp_path):
    assert look_at_file(str(tmp_path / "gone.jpg")).fault == (
        "cannot be read (No such file or directory)"
    )
    assert "cannot be read" in str(look_at_file(str(tmp_path)).fault)


def test_what_was_seen_is_remembered_until_the_file_changes(own_folder, tmp_path):
    first = audit(own_folder, tmp_path)
    (stored,) = (tmp_path / "audit").iterdir()
    written = stored.stat().st_mtime_ns
    assert audit(own_folder, tmp_path) == first
    assert stored.stat().st_mtime_ns == written
    path = own_folder / "blue" / "000.jpg"
    path.write_bytes(b"")
    assert [look.path for look in audit(own_folder, tmp_path).faults] == [str(path)]
    stored.write_text("{", encoding="utf-8")
    assert [look.fault for look in audit(own_folder, tmp_path).faults] == ["empty file"]


def leaky_folder(folder: Path) -> Path:
    """Write ten test pictures, of which two are also in train, one of them saved again."""
    for position, (split, count) in enumerate({"train": 8, "val": 4, "test": 4}.items()):
        for name in tool.CLASSES:
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                seed = 100_000 * position + index + 500 * list(tool.CLASSES).index(name)
                tool.draw(name, seed, 160, 120).save(folder / split / name / f"{index}.png")
    test = folder / "test" / "blue"
    (folder / "train" / "blue" / "same.png").write_bytes((test / "0.png").read_bytes())
    again = Image.open(test / "1.png").resize((96, 72))
    again.save(folder / "train" / "green" / "again.jpg", quality=75)
    return folder


def test_leaks_are_told_and_left_out_of_training_alone(tmp_path):
    folder = leaky_folder(tmp_path / "photos")
    found = audit(folder)
    leaking = {Path(found.looks[row].path).name for row in found.leaks}
    assert leaking == {"same.png", "again.jpg"}
    assert len(found.conflicts) == 1, "one of them lies in another class"
    told = load_data(data_config(source=str(folder)), 0)
    assert any("2 pictures have a copy in a later split" in note for note in told.notes)
    fixed = load_data(data_config(source=str(folder), fix_leaks=True), 0)
    assert set(told.train.paths) - set(fixed.train.paths) == {
        str(folder / "train" / "blue" / "same.png"),
        str(folder / "train" / "green" / "again.jpg"),
    }
    assert (fixed.validation.paths, fixed.test.paths) == (told.validation.paths, told.test.paths)


def test_copies_that_a_cut_tears_apart_are_leaks_too(tmp_path):
    folder = tmp_path / "photos"
    for name in tool.CLASSES:
        (folder / name).mkdir(parents=True)
        for index in range(10):
            encoded = tool.encode(tool.draw(name, index), "JPEG")
            for copy in "ab":
                (folder / name / f"{index}{copy}.jpg").write_bytes(encoded)
    data = load_data(data_config(source=str(folder), fix_leaks=True), 0)
    stems = [{Path(p).name[0] + Path(p).parent.name for p in s.paths}
             for s in (data.train, data.validation, data.test)]  # fmt: skip
    assert not stems[0] & stems[2] and not stems[0] & stems[1] and not stems[1] & stems[2]


def test_the_command_prints_writes_and_says_by_its_code_what_it_found(
    bad_folder, own_folder, tmp_path, capsys
):
    folder, said = bad_folder
    assert main(["audit", str(folder), "--out", str(tmp_path / "found")]) == 1
    printed = capsys.readouterr().out
    for expected in ("cannot be used", "turned", "wrong ending", "wrote audit.json"):
        assert expected in printed
    report = json.loads((tmp_path / "found" / "audit.json").read_text(encoding="utf-8"))
    bad = {path for path, expected in said.items() if isinstance(expected, str)}
    assert {fault["path"] for fault in report["faults"]} == bad
    for sheet in ("faults.png", "odd.png", "classes.png"):
        with Image.open(tmp_path / "found" / sheet) as picture:
            assert min(picture.size) > 150
    assert main(["audit", str(own_folder)]) == 0
    assert "nothing wrong" in capsys.readouterr().out
    assert main(["audit", str(own_folder), "--out", str(own_folder / "found")]) == 2
    assert "must lie outside" in capsys.readouterr().err
    assert main(["audit", "tfds:no_such_pictures"]) == 2


def keep(folder: Path, classes: int, pictures: int) -> None:
    """Keep so many classes, and so many pictures of each."""
    for number, name in enumerate(sorted(folder.iterdir())):
        if number >= classes:
            shutil.rmtree(name)
            continue
        for file in sorted(name.iterdir())[pictures:]:
            file.unlink()


@pytest.mark.parametrize(
    ("classes", "pictures", "expected"),
    [(1, 6, "at least two classes"), (3, 2, "Every class needs at least 3 training pictures"),
     (3, 0, "no readable picture in a class folder"), (0, 0, "no readable picture in a class")],
)  # fmt: skip
def test_the_command_fails_where_training_would(classes, pictures, expected, own_folder, capsys):
    keep(own_folder, classes, pictures)
    with pytest.raises(InputError) as refused:
        load_data(data_config(source=str(own_folder)), 0)
    assert expected in str(refused.value)
    assert main(["audit", str(own_folder)]) == 1
    printed = capsys.readouterr().out
    assert f"training refuses this {refused.value}" in printed
    assert "nothing wrong" not in printed


def test_a_split_without_pictures_fails_the_command_as_it_fails_training(own_folder, tmp_path):
    (tmp_path / "data" / "test" / "blue").mkdir(parents=True)
    own_folder.rename(tmp_path / "data" / "train")
    found = tfxfer.audit_data(tmp_path / "data", out=tmp_path / "found", quiet=True)
    assert "its test split" in found.refusal
    report = json.loads((tmp_path / "found" / "audit.json").read_text(encoding="utf-8"))
    assert report["refusal"] == found.refusal


def test_the_class_folders_of_the_fixtures_hold_no_copies(tmp_path):
    """If they held copies, the notes in other tests would report leaks."""
    found = audit(write_classes(tmp_path / "photos", {"blue": 20, "green": 20}))
    assert found.copies == ()


@pytest.mark.shared
def test_the_junk_file_of_a_real_folder_is_found(shared):
    found = audit(shared / "data" / "hymenoptera")
    assert [Path(look.path).name for look in found.faults] == ["imageNotFound.gif"]


def test_a_split_of_copies_alone_cannot_be_emptied(tmp_path):
    folder = leaky_folder(tmp_path / "photos")
    for path in (folder / "val").rglob("*.png"):
        twin = folder / "test" / path.parent.name / path.name
        path.write_bytes(twin.read_bytes())
    with pytest.raises(InputError, match="validation with 12 pictures, all of them copies"):
        load_data(data_config(source=str(folder), fix_leaks=True), 0)
