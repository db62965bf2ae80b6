"""Tests of folders of pictures as people have them: refused, converted and left-out files."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageFilter
from support.settings import data_config
from support.small import COLOURS, draw_picture, write_classes

from tfxfer.errors import InputError
from tfxfer.modalities.pictures.decode import decode_picture
from tfxfer.training.load import load_data


def load(folder, **changes):
    return load_data(data_config(source=str(folder), **changes), seed=0)


def sizes(data):
    return [len(split.labels) for split in (data.train, data.validation, data.test)]


def test_missing_splits_are_cut_from_every_class(picture_folder):
    data = load(picture_folder)
    assert data.classes == tuple(sorted(COLOURS))
    assert sizes(data) == [42, 9, 9]
    for split in (data.train, data.validation, data.test):
        assert len(set(np.bincount(split.labels.numbers))) == 1
    paths = [set(split.paths) for split in (data.train, data.validation, data.test)]
    assert len(set.union(*paths)) == 60
    assert len(data.notes) == 2


def test_the_seed_decides_the_cut(picture_folder):
    config = data_config(source=str(picture_folder))
    first, again, other = (load_data(config, seed).test.paths for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_split_folders_are_taken_as_they_are(tmp_path, validation):
    root = tmp_path / "photos"
    for position, (split, count) in enumerate({"train": 5, validation: 3, "test": 2}.items()):
        write_classes(root / split, dict.fromkeys(COLOURS, count), 10_000 * position)
    data = load(root)
    assert sizes(data) == [15, 9, 6]
    assert data.notes == ()


@pytest.mark.parametrize(
    "names",
    [
        ("training_set", "test_set"), ("seg_train/seg_train", "seg_test/seg_test"),
        ("images/train", "images/test"), ("Train-Images", "TEST images"), ("trainset", "testset"),
        ("birds_train", "birds_test"), ("a/b/c/training", "a/b/c/testing"), ("1 train", "2 test"),
        ("TrainImages", "TestImages"),
    ],
)  # fmt: skip
def test_folders_whose_names_say_a_split_are_splits(names, tmp_path):
    for position, (name, count) in enumerate(zip(names, (5, 2), strict=True)):
        write_classes(tmp_path / "data" / name, dict.fromkeys(COLOURS, count), 10_000 * position)
    data = load(tmp_path / "data")
    assert data.classes == tuple(sorted(COLOURS))
    assert len(data.test.labels) == 6
    assert len(data.train.labels) + len(data.validation.labels) == 15


@pytest.mark.parametrize(
    "names", [("monday", "tuesday"), ("site one", "site two"), ("freight_train", "night_train")]
)
def test_folders_that_all_hold_the_same_folders_are_refused(names, tmp_path):
    for position, name in enumerate(names):
        write_classes(tmp_path / name, dict.fromkeys(COLOURS, 4), 10_000 * position)
    with pytest.raises(InputError, match="must not all hold the same folders") as refused:
        load(tmp_path)
    assert f"{names[0]}, {names[1]}" in str(refused.value)
    assert "each with amber, blue, green" in str(refused.value)
    # A pattern says that this is known.
    assert load(tmp_path, group_pattern="[^/]+$").classes == names


def test_folders_in_class_folders_are_read_where_they_differ(own_folder):
    for number, name in enumerate(COLOURS):
        inner = own_folder / name / "images"
        inner.mkdir()
        (own_folder / name / "000.jpg").rename(inner / "000.jpg")
        (own_folder / name / f"visit {number}").mkdir()
        (own_folder / name / "001.jpg").rename(own_folder / name / f"visit {number}" / "001.jpg")
    assert sum(sizes(load(own_folder))) == 18


def test_two_folders_of_one_split_are_refused(tmp_path):
    for position, name in enumerate(("train_data", "training_set", "val")):
        write_classes(tmp_path / name, dict.fromkeys(COLOURS, 3), 10_000 * position)
    with pytest.raises(InputError, match="train_data and training_set, which both say train"):
        load(tmp_path)


def test_the_exact_name_of_a_split_wins_and_without_training_there_are_no_splits(tmp_path):
    for position, name in enumerate(("train", "train_images", "val")):
        write_classes(tmp_path / "a" / name, dict.fromkeys(COLOURS, 3), 10_000 * position)
    data = load(tmp_path / "a")
    assert data.classes == tuple(sorted(COLOURS))
    assert any("beside the splits are not read: train_images" in note for note in data.notes)
    for position, (name, inner) in enumerate({"test 1": "x", "test 2": "y", "else": "z"}.items()):
        write_classes(tmp_path / "b" / name, {"blue": 4}, 10_000 * position)
        (tmp_path / "b" / name / "blue").rename(tmp_path / "b" / name / inner)
    assert load(tmp_path / "b").classes == ("else", "test 1", "test 2")


def test_outer_folders_are_looked_through_and_named(own_folder, tmp_path):
    outer = tmp_path / "outer" / "one more"
    outer.mkdir(parents=True)
    own_folder.rename(outer / "photos")
    data = load(tmp_path / "outer")
    assert data.classes == tuple(sorted(COLOURS))
    assert any(str(outer / "photos") in note for note in data.notes)
    # A split of a single class is no outer folder.
    write_classes(tmp_path / "data" / "train", dict.fromkeys(COLOURS, 6), 20_000)
    test = write_classes(tmp_path / "data" / "test", {"blue": 3}, 30_000) / "blue"
    (test / "inner").mkdir()
    (test / "000.jpg").rename(test / "inner" / "000.jpg")
    assert len(load(tmp_path / "data").test.labels) == 3


def test_unlabelled_pictures_of_a_split_are_left_out_with_a_note(tmp_path):
    write_classes(tmp_path / "train", dict.fromkeys(COLOURS, 6))
    loose = write_classes(tmp_path / "test", {"blue": 3}, 10_000) / "blue"
    for file in loose.iterdir():
        file.rename(tmp_path / "test" / file.name)
    loose.rmdir()
    data = load(tmp_path)
    assert sum(sizes(data)) == 18
    assert any(f"the 3 pictures of {tmp_path / 'test'} lie in no class folders" in note
               for note in data.notes)  # fmt: skip


@pytest.mark.parametrize("name", ["test", "unlabelled", "images"])
def test_unlabelled_pictures_one_folder_down_are_left_out_with_a_note(name, tmp_path):
    write_classes(tmp_path / "train", dict.fromkeys(COLOURS, 6))
    write_classes(tmp_path / "test", {"blue": 3}, 10_000).joinpath("blue").rename(
        tmp_path / "test" / name
    )
    data = load(tmp_path)
    assert sum(sizes(data)) == 18
    assert any(
        f"the 3 pictures of {tmp_path / 'test' / name} lie in" in note for note in data.notes
    )


@pytest.mark.parametrize(
    ("names", "becomes"),
    [
        (("neg_test", "neg_train", "pos_test", "pos_train"), "neg_test becomes test/neg"),
        (("cat_test", "cat_train", "dog_test", "dog_train", "misc"), "cat_test becomes test/cat"),
    ],
)
def test_folders_that_say_a_class_and_a_split_are_refused(names, becomes, tmp_path):
    for position, name in enumerate(names):
        write_classes(tmp_path, {"blue": 3}, 10_000 * position)
        (tmp_path / "blue").rename(tmp_path / name)
    with pytest.raises(InputError, match=f"whose names say both.*{becomes}"):
        load(tmp_path)


def test_splits_inside_of_classes_are_refused_with_the_other_way_round(tmp_path):
    for position, name in enumerate(COLOURS):
        for split in ("train", "val"):
            inner = write_classes(tmp_path / name, {"blue": 3}, 10_000 * position) / "blue"
            inner.rename(tmp_path / name / split)
    with pytest.raises(InputError, match="the other way round: amber/train becomes train/amber"):
        load(tmp_path)


def test_a_folder_of_tables_and_a_table_of_another_kind_are_answered(own_folder, tmp_path):
    (tmp_path / "data").mkdir()
    table = tmp_path / "data" / "train-00000-of-00001.parquet"
    table.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"name it: --data .*train-00000-of-00001"):
        load(tmp_path / "data")
    other = table.rename(tmp_path / "list.xlsx")
    with pytest.raises(InputError, match=r"is a file\. Save it as one that ends in \.csv, \.tsv"):
        load(other)
    for file in (own_folder / "blue").iterdir():
        file.rename(file.with_suffix(".xyz"))
    with pytest.raises(InputError, match=r"which end in .*\.webp\. Received: none in blue\."):
        load(own_folder)


def test_a_link_to_no_folder_is_refused(own_folder):
    (own_folder / "red").symlink_to(own_folder / "nowhere")
    with pytest.raises(InputError, match=r"red', which leads to '.*nowhere', where nothing is"):
        load(own_folder)
    (own_folder / "red").rename(own_folder / "red.txt")
    assert sum(sizes(load(own_folder))) == 18


def test_a_split_with_nothing_in_it_may_be_removed(tmp_path):
    write_classes(tmp_path / "train", dict.fromkeys(COLOURS, 6))
    (tmp_path / "test").mkdir()
    with pytest.raises(InputError, match="remove the test folder: a part of the training pictures"):
        load(tmp_path)


def test_a_link_that_leads_back_is_passed_once(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "self").symlink_to(folder, target_is_directory=True)
    with pytest.raises(InputError) as refused:
        load(folder)
    assert "self/self" not in str(refused.value)


def test_pictures_without_an_ending_are_known_by_their_first_bytes(own_folder):
    for name in COLOURS:
        for number, file in enumerate(sorted((own_folder / name).iterdir())):
            file.rename(file.with_name(str(number)))
        (own_folder / name / "README").write_text("Pictures of one colour.")
    data = load(own_folder)
    assert sum(sizes(data)) == 18
    assert any("3 files without a picture's ending are not read: README" in n for n in data.notes)


def test_pictures_beside_each_other_are_refused_with_the_way_to_label_them(own_folder):
    for name in COLOURS:
        for file in (own_folder / name).iterdir():
            file.rename(own_folder / f"{name}.{file.name}")
        (own_folder / name).rmdir()
    with pytest.raises(InputError, match="must lie in a folder for each class") as refused:
        load(own_folder)
    assert "with 18 pictures, such as amber.000.jpg" in str(refused.value)
    assert "list.csv with the columns path and label" in str(refused.value)


def test_folders_of_systems_are_no_classes(own_folder):
    system = ("@eaDir", "$RECYCLE.BIN", "lost+found", "System Volume Information", "__MACOSX")
    for name in system:
        write_classes(own_folder / name, {"blue": 1})
        write_classes(own_folder / "green" / name, {"blue": 1})
    assert load(own_folder).classes == tuple(sorted(COLOURS))
    assert sum(sizes(load(own_folder))) == 18


def test_names_that_only_look_like_those_of_systems_are_classes(own_folder):
    (own_folder / "blue").rename(own_folder / "__background__")
    (own_folder / "green").rename(own_folder / "_unknown_")
    assert load(own_folder).classes == ("__background__", "_unknown_", "amber")


def test_a_class_may_be_written_in_two_ways_of_unicode(tmp_path):
    for position, (split, name) in enumerate({"train": "caf\u00e9", "val": "cafe\u0301"}.items()):
        folder = write_classes(tmp_path / split, {"amber": 6, "blue": 6}, 10_000 * position)
        (folder / "blue").rename(folder / name)
    data = load(tmp_path)
    assert data.classes == ("amber", "caf\u00e9")
    assert len(data.validation.labels) == 12


def test_a_missing_test_split_is_cut_from_train_only(tmp_path):
    write_classes(tmp_path / "photos" / "train", dict.fromkeys(COLOURS, 10))
    write_classes(tmp_path / "photos" / "val", dict.fromkeys(COLOURS, 3), 5000)
    data = load(tmp_path / "photos", test_fraction=0.2)
    assert sizes(data) == [24, 9, 6]
    assert all("/train/" in path for path in data.test.paths)


def test_a_class_may_be_called_train(tmp_path):
    folder = write_classes(tmp_path / "photos", {"amber": 5, "blue": 5})
    (folder / "amber").rename(folder / "train")
    assert load(folder).classes == ("blue", "train")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda f: shutil.rmtree(f), "which is not there"),
        (lambda f: [shutil.rmtree(c) for c in f.iterdir()], "no readable picture in a class"),
        (lambda f: [p.unlink() for p in f.glob("*/*")], "no readable picture in a class folder"),
        (lambda f: [shutil.rmtree(f / c) for c in ("blue", "green")], "at least two classes"),
        (lambda f: [p.unlink() for p in sorted((f / "blue").iterdir())[1:]], "blue (1)"),
        (lambda f: [p.unlink() for p in sorted((f / "blue").iterdir())[2:]], "blue (2)"),
        (lambda f: [p.unlink() for p in (f / "blue").iterdir()], "none in blue"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(own_folder, spoil, expected):
    spoil(own_folder)
    with pytest.raises(InputError, match=r"Received: ") as caught:
        load(own_folder)
    assert expected in str(caught.value)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("val", "test")])
def test_splits_without_class_folders_are_no_classes(own_folder, names):
    for old, new in zip(("amber", "blue", "green"), names, strict=False):
        (own_folder / old).rename(own_folder / new)
    for left in set(own_folder.iterdir()) - {own_folder / name for name in names}:
        shutil.rmtree(left)
    with pytest.raises(InputError, match="train/ must be one of them"):
        load(own_folder)


def test_links_are_followed_and_broken_ones_named(own_folder, tmp_path):
    elsewhere = write_classes(tmp_path / "elsewhere", {"blue": 4}, 7000)
    (own_folder / "blue" / "more").symlink_to(elsewhere / "blue")
    (own_folder / "blue" / "round").symlink_to(own_folder / "blue")
    assert sum(sizes(load(own_folder))) == 22
    (own_folder / "green" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(InputError, match=r"gone\.jpg: cannot be read"):
        load(own_folder)


def test_a_class_that_a_split_lacks_is_said(tmp_path):
    write_classes(tmp_path / "train", dict.fromkeys(COLOURS, 6))
    write_classes(tmp_path / "test", {"blue": 3, "green": 2}, 900)
    assert "the test split has no pictures of amber" in load(tmp_path).notes


def test_quarantine_that_empties_a_split_is_an_error(tmp_path):
    write_classes(tmp_path / "train", dict.fromkeys(COLOURS, 6))
    for path in write_classes(tmp_path / "test", {"blue": 2}).rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="no readable picture in a class folder of its test"):
        load(tmp_path, on_bad="quarantine")


def test_a_split_with_a_class_of_its_own_is_refused(tmp_path):
    write_classes(tmp_path / "train", dict.fromkeys(COLOURS, 3))
    folder = write_classes(tmp_path / "val", {"blue": 3, "green": 2})
    (folder / "green").rename(folder / "gren")
    with pytest.raises(InputError, match="Did you mean 'green'"):
        load(tmp_path)


def test_file_names_may_be_any_bytes_but_class_names_are_text(own_folder):
    odd = os.path.join(os.fsencode(own_folder), b"blue", b"caf\xe9 \xff.jpg")
    os.rename(own_folder / "blue" / "000.jpg", odd)
    data = load(own_folder)
    read = [x for split in (data.train, data.validation, data.test) for x in split.encoded()]
    assert len(read) == 18
    os.rename(own_folder / "blue", os.path.join(os.fsencode(own_folder), b"bl\xffe"))
    with pytest.raises(InputError, match="printable UTF-8"):
        load(own_folder)


def test_a_file_is_no_folder(own_folder):
    with pytest.raises(InputError, match="which is a file"):
        load(own_folder / "blue" / "000.jpg")


def test_an_empty_split_is_refused(tmp_path):
    write_classes(tmp_path / "train", dict.fromkeys(COLOURS, 3))
    (tmp_path / "test" / "blue").mkdir(parents=True)
    with pytest.raises(InputError, match="its test split"):
        load(tmp_path)


def encode(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


BAD = {
    "zero.jpg": (lambda p: b"", "empty file"),
    "cut.jpg": (lambda p: encode(p, "JPEG")[:400], "broken JPEG file"),
    "cut.png": (lambda p: encode(p, "PNG")[:400], "broken PNG file"),
    "text.jpg": (lambda p: b"no picture at all", "not a picture"),
    "moving.gif": (lambda p: encode(p, "GIF"), "a GIF file; convert it"),
    "gif.jpg": (lambda p: encode(p, "GIF"), "a GIF file; convert it"),
    "scan.tif": (lambda p: encode(p, "TIFF"), "a TIFF file; convert it"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_unreadable_picture_is_named_before_training(own_folder, name):
    make, reason = BAD[name]
    (own_folder / "blue" / name).write_bytes(make(draw_picture("blue", 99)))
    with pytest.raises(InputError, match="1 of 19 that are not") as caught:
        load(own_folder)
    assert f"{own_folder / 'blue' / name}: {reason}" in str(caught.value)
    assert "data.reading.on_bad=quarantine" in str(caught.value)


def test_quarantine_leaves_out_exactly_the_bad_files(own_folder):
    for name, (make, _) in BAD.items():
        (own_folder / "blue" / name).write_bytes(make(draw_picture("blue", 99)))
    data = load(own_folder, on_bad="quarantine")
    assert {file.path.rsplit("/", 1)[1] for file in data.quarantined} == set(BAD)
    assert sum(sizes(data)) == 18
    assert all((own_folder / "blue" / name).exists() for name in BAD), "nothing is changed"


def test_quarantine_that_empties_a_class_is_an_error(own_folder):
    for path in (own_folder / "blue").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"blue \(0\)"):
        load(own_folder, on_bad="quarantine")


GOOD = {
    "cmyk.jpg": lambda p: encode(p.convert("CMYK"), "JPEG", quality=95),
    "grey.jpg": lambda p: encode(p.convert("L"), "JPEG"),
    "grey.png": lambda p: encode(p.convert("L"), "PNG"),
    "sixteen.png": lambda p: encode(
        Image.fromarray(np.asarray(p.convert("L")).astype(np.uint16) * 257), "PNG"
    ),
    "palette.png": lambda p: encode(p.quantize(256), "PNG"),
    "png.jpg": lambda p: encode(p, "PNG"),
    "picture.bmp": lambda p: encode(p, "BMP"),
    "picture.webp": lambda p: encode(p, "WEBP", quality=95),
    "ENDING.JPEG": lambda p: encode(p, "JPEG"),
}


@pytest.mark.parametrize("name", GOOD)
def test_unusual_pictures_are_converted(own_folder, name):
    picture = draw_picture("blue", 5).filter(ImageFilter.GaussianBlur(4))
    (own_folder / "blue" / name).write_bytes(GOOD[name](picture))
    assert sum(sizes(load(own_folder))) == 19
    decoded = decode_picture((own_folder / "blue" / name).read_bytes()).numpy()
    expected = np.asarray(picture).astype(float)
    if any(word in name for word in ("grey", "sixteen")):
        expected = np.repeat(np.asarray(picture.convert("L"))[..., None], 3, axis=2).astype(float)
    assert decoded.shape == expected.shape
    assert decoded.dtype == np.uint8
    assert np.abs(decoded - expected).mean() < 4


def test_what_is_not_read_is_said(own_folder):
    (own_folder / "blue" / "notes.txt").write_text("mine")
    (own_folder / "blue" / ".hidden.jpg").write_text("")
    (own_folder / "loose.jpg").write_bytes(encode(draw_picture("blue", 1), "JPEG"))
    notes = "\n".join(load(own_folder).notes)
    assert "1 files without a picture's ending are not read: notes.txt" in notes
    assert "1 pictures beside the class folders" in notes


def test_no_data_named_is_an_error_that_says_how():
    with pytest.raises(InputError, match="--data names a folder of class folders"):
        load_data(data_config(), seed=0)


@pytest.mark.parametrize("splits", [False, True])
def test_a_pattern_names_groups_below_the_source(own_folder, splits):
    expected = {f"{name}/00{i}" for name in COLOURS for i in range(6)}
    if splits:
        (own_folder / "train").mkdir()
        for name in COLOURS:
            (own_folder / name).rename(own_folder / "train" / name)
    data = load(own_folder, group_pattern=r"^(?:train/)?(\w+/\d+)\.jpg$")
    assert set().union(*(split.groups for split in (data.train, data.validation, data.test))) == (
        expected
    )
    for path, group in zip(data.train.paths, data.train.groups, strict=True):
        assert path.endswith(f"/{group}.jpg")
    with pytest.raises(InputError, match=r"'(train/)?blue/004\.jpg'"):
        load(own_folder, group_pattern="amber|[0123].jpg")


@pytest.mark.parametrize("changes", [{"group_column": "bird"}, {"label_separator": "|"}])
def test_settings_of_manifests_are_refused_for_folders(own_folder, changes):
    with pytest.raises(InputError, match="is for manifests"):
        load(own_folder, **changes)


LISTING = """
import sys
from tfxfer.config.data import DataConfig
from tfxfer.errors import InputError
from tfxfer.kinds import TASKS
from tfxfer.sources.sources import list_items
try:
    print(list_items(DataConfig(source=sys.argv[1]), TASKS).classes)
except InputError as error:
    print(ascii(str(error)))
"""


def test_a_locale_that_is_not_utf_8_is_blamed_and_not_the_name(own_folder):
    (own_folder / "blue").rename(own_folder / "bl\u00fc")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = {k: v for k, v in os.environ.items() if k in ("PATH", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-c", LISTING, own_folder],
        env=environment | plain, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "which this process reads as ascii" in done.stdout
    assert "PYTHONUTF8=1" in done.stdout
    assert load(own_folder).classes == ("amber", "bl\u00fc", "green")
