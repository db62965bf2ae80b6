"""Tests of splits, folds and few shots; most use made-up files, because only names matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from support.settings import data_config

from tfxfer.data.items import FileSet, Identity
from tfxfer.data.parts import deal_groups, hash_names, pick_shots
from tfxfer.data.splits import complete_splits
from tfxfer.errors import InputError
from tfxfer.tasks.labels import ClassLabels, SeveralLabels

CLASSES = ("amber", "blue", "green")


@dataclass(frozen=True)
class NamedSet:
    """A set of pictures that has names and labels, and only what every such set has."""

    names: tuple[str, ...]
    labels: ClassLabels
    groups: tuple[str, ...] = ()

    def encoded(self, shuffle_seed=None):
        raise NotImplementedError("splits read no picture")

    def choose(self, indices):
        return NamedSet(tuple(self.names[index] for index in indices), self.labels.choose(indices))

    def identities(self):
        return [Identity(name, "") for name in self.names]


def make_files(count, groups=(), start=0, folder="made-up"):
    """Return made-up files, whose three classes take turns."""
    labels = np.arange(start, start + count) % 3
    paths = (f"/{folder}/{CLASSES[n]}/{start + i:05d}.jpg" for i, n in enumerate(labels))
    return FileSet(tuple(paths), ClassLabels(labels), tuple(groups))


def make_named(count):
    labels = np.random.default_rng(7).integers(0, 3, count)
    return NamedSet(tuple(f"train/{place}" for place in range(count)), ClassLabels(labels))


def split(train, seed=0, others=None, **settings):
    return complete_splits(
        {"train": train, **(others or {})}, CLASSES, data_config(**settings), seed
    )


def names_of(pictures):
    return set(getattr(pictures, "paths", None) or pictures.names)


def of_file(pictures):
    return [int(path[-9:-4]) for path in pictures.paths]


def test_the_cut_without_settings_is_what_it_always_was():
    parts, notes = split(make_files(40), seed=3)
    assert of_file(parts["validation"]) == [0, 1, 3, 5, 10, 14]
    assert of_file(parts["test"]) == [8, 16, 27, 30, 32, 37]
    assert len(notes) == 2
    assert "no test split: 6 of the 40 training pictures" in notes[0]
    assert "class by class (seed 3)" in notes[0]


# --- groups ---


def many_groups(count=600, groups=60, seed=1):
    """Return the groups of pictures; the groups have very different sizes."""
    generator = np.random.default_rng(seed)
    sizes = generator.exponential(1, groups) + 0.1
    return [f"bird{n}" for n in generator.choice(groups, count, p=sizes / sizes.sum())]


def test_no_group_is_in_two_splits_and_every_class_has_its_share():
    parts, notes = split(make_files(600, many_groups()))
    held = [set(part.groups) for part in parts.values()]
    assert sum(map(len, held)) == len(set.union(*held)) == len(set(many_groups()))
    for name, share in {"train": 0.7, "validation": 0.15, "test": 0.15}.items():
        shares = np.bincount(parts[name].labels.numbers) / 200
        assert np.abs(shares - share).max() < 0.03, name
    assert "in whole groups, of which there are 58" in notes[0]


def test_the_seed_decides_where_groups_go():
    files = make_files(600, many_groups())
    first, again, other = (split(files, seed)[0]["test"].paths for seed in (0, 0, 1))
    assert first == again != other


def test_groups_of_one_class_each_are_stratified_too():
    groups = [f"{CLASSES[n % 3]} {n // 3 % 20}" for n in range(300)]
    parts, _ = split(make_files(300, groups))
    for name in ("validation", "test"):
        assert (np.bincount(parts[name].labels.numbers) == 15).all(), name


def test_as_few_groups_as_splits_fill_each_of_them():
    parts, _ = split(make_files(30, [f"shoot{n // 3 % 3}" for n in range(30)]))
    assert [len(set(part.groups)) for part in parts.values()] == [1, 1, 1]


def test_too_few_groups_are_refused():
    with pytest.raises(InputError, match=r"at least 3 groups\. Received: 2 \(a, b\)"):
        split(make_files(30, ["a", "b"] * 15))
    with pytest.raises(InputError, match=r"5 folds need at least 5 groups\. Received: 4"):
        split(make_files(60, [f"{n // 3 % 4}" for n in range(60)]), folds=5)


def test_a_class_of_one_group_is_trained_on_and_its_absence_said():
    groups = ["one" if n % 3 == 0 else f"g{n // 3}" for n in range(90)]
    parts, notes = split(make_files(90, groups))
    assert (parts["train"].labels.numbers == 0).sum() == 30
    assert "the test split has no pictures of amber" in notes


def test_groups_in_two_splits_of_the_source_are_said_and_removed_when_asked():
    train = make_files(60, [f"bird{n // 6}" for n in range(60)])
    held_out = make_files(12, ["bird3"] * 6 + ["bird77"] * 6, start=60, folder="test")
    parts, notes = split(train, others={"test": held_out})
    assert any("1 groups of the training pictures are in another split" in n for n in notes)
    assert "bird3" in parts["train"].groups + parts["validation"].groups
    parts, notes = split(train, others={"test": held_out}, fix_leaks=True)
    assert "bird3" not in parts["train"].groups + parts["validation"].groups
    assert parts["test"].paths == held_out.paths, "the test split is never changed"
    assert any("bird3" in note and "6 training pictures were left out" in note for note in notes)


@pytest.mark.parametrize("setting", ["group_pattern", "group_column"])
def test_sets_without_groups_refuse_settings_of_groups(setting):
    with pytest.raises(InputError, match=f"Received: {setting}='bird' for 'tfds:birds'"):
        split(make_named(60), source="tfds:birds", **{setting: "bird"})


def test_groups_are_dealt_in_any_shares():
    groups = many_groups(2000, 300)
    places = deal_groups(np.arange(2000) % 7, groups, [0.5, 0.3, 0.1, 0.1], 0)
    sizes = np.array([np.bincount(np.arange(2000)[places == n] % 7, minlength=7) for n in range(4)])
    expected = np.outer([0.5, 0.3, 0.1, 0.1], np.bincount(np.arange(2000) % 7))
    assert np.abs(sizes - expected).max() < 8


# --- by hash ---


def test_adding_pictures_moves_none(tmp_path):
    files = make_real(tmp_path, range(0, 900, 3))
    before, notes = split(files, by="hash")
    after, _ = split(make_real(tmp_path, range(900)), by="hash")
    for name in before:
        assert names_of(before[name]) == names_of(after[name]) & set(files.paths), name
    assert len(after["test"].paths) == pytest.approx(135, abs=35)
    assert len(after["validation"].paths) == pytest.approx(135, abs=35)
    assert "by the hash of each name" in notes[0]


def make_real(folder, numbers):
    """Write empty files, because a file's identity depends on its size."""
    paths = [folder / CLASSES[n % 9 // 3] / f"{n:04d}.jpg" for n in numbers]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    labels = np.array([n % 9 // 3 for n in numbers])
    return FileSet(tuple(map(str, paths)), ClassLabels(labels))


def test_the_fold_of_a_picture_stays_when_pictures_are_added():
    few, many = make_named(300), make_named(900)
    for fold in (1, 2, 3):
        before, after = (
            split(pictures, folds=3, fold=fold, by="hash")[0] for pictures in (few, many)
        )
        for name in before:
            assert names_of(before[name]) == names_of(after[name]) & set(few.names)


def test_groups_go_by_their_own_hash():
    groups = [f"bird{n // 3}" for n in range(600)]
    parts, _ = split(make_files(600, groups), by="hash")
    held = [set(part.groups) for part in parts.values()]
    assert sum(map(len, held)) == len(set.union(*held)) == 200
    renamed, _ = split(make_files(600, groups, folder="elsewhere"), by="hash")
    assert renamed["test"].groups == parts["test"].groups


def test_the_seed_salts_the_hash():
    pictures = make_named(300)
    first, other = (split(pictures, seed, by="hash")[0]["test"].names for seed in (0, 1))
    assert first != other


def test_hashes_are_even_and_stay_what_they_are():
    places = hash_names([f"{n}.jpg" for n in range(20_000)], "0")
    assert np.abs(np.histogram(places, 10, (0, 1))[0] - 2000).max() < 200
    assert hash_names(["amber/000.jpg", "caf\udce9.jpg"], "0") == pytest.approx(
        [0.009399, 0.575666], abs=1e-6
    )


def test_a_hash_that_leaves_a_split_empty_is_an_error():
    pictures = NamedSet(tuple(f"{n}" for n in range(9)), ClassLabels(np.arange(9) % 3))
    with pytest.raises(InputError, match="a test split without amber, blue, green"):
        split(pictures, by="hash", test_fraction=0.001)


# --- folds ---


@pytest.mark.parametrize("kind", ["files", "groups", "other sets", "hash"])
def test_every_picture_is_in_exactly_one_fold(kind):
    pictures = {
        "files": make_files(103),
        "groups": make_files(103, many_groups(103, 30)),
        "other sets": make_named(103),
        "hash": make_named(103),
    }[kind]
    by = "hash" if kind == "hash" else "random"
    held_out = []
    for fold in range(1, 6):
        parts, notes = split(pictures, folds=5, fold=fold, by=by)
        names = [names_of(part) for part in parts.values()]
        assert sum(map(len, names)) == len(set.union(*names)) == 103
        held_out.append(names_of(parts["test"]))
        assert f"fold {fold} of 5: {len(held_out[-1])} of the 103" in notes[0]
        if kind == "groups":
            groups = [set(part.groups) for part in parts.values()]
            assert sum(map(len, groups)) == len(set.union(*groups))
    assert sum(map(len, held_out)) == len(set.union(*held_out)) == 103


def test_folds_are_stratified_and_validation_is_a_share_of_all_pictures():
    for fold in (1, 2, 3, 4, 5):
        parts, _ = split(make_files(300), folds=5, fold=fold)
        assert [
            list(np.bincount(parts[name].labels.numbers)) for name in ("test", "validation")
        ] == [
            [20, 20, 20],
            [15, 15, 15],
        ]


def test_a_fold_is_the_validation_split_where_the_source_has_a_test_split():
    test, own = make_files(9, folder="test"), make_files(6, folder="val")
    parts, notes = split(make_files(60), others={"test": test}, folds=4, fold=2)
    assert parts["test"].paths == test.paths
    assert (len(parts["validation"].paths), len(parts["train"].paths)) == (15, 45)
    assert len(notes) == 1
    parts, notes = split(make_files(60), others={"test": test, "validation": own}, folds=4)
    assert len(parts["validation"].paths) == 15
    assert "own validation split (6 pictures) is not used" in notes[1]


def test_a_source_s_validation_split_stays_where_the_fold_is_the_test_split():
    own = make_files(6, folder="val")
    parts, _ = split(make_files(60), others={"validation": own}, folds=4)
    assert parts["validation"].paths == own.paths
    assert len(parts["test"].paths) == 15


def test_classes_that_are_too_small_for_folds_are_named():
    labels = np.array([0] * 40 + [1] * 40 + [2] * 3)
    small = FileSet(tuple(f"/{n}.jpg" for n in range(83)), ClassLabels(labels))
    _, notes = split(small, folds=5)
    assert "some folds have no pictures of green" in notes
    tiny = small.choose(np.arange(82))
    with pytest.raises(InputError, match="folds=5, and fewer of green"):
        split(tiny, folds=5, fold=2)
    with pytest.raises(InputError, match="folds=50, with 40 pictures"):
        split(small, folds=50)


def test_a_fold_needs_folds():
    with pytest.raises(ValueError, match="fold=3, folds=None"):
        data_config(fold=3)
    with pytest.raises(ValueError, match="fold=6, folds=5"):
        data_config(fold=6, folds=5)


def test_folds_of_pictures_with_several_labels_are_even():
    labels = (np.random.default_rng(0).random((400, 3)) < [0.5, 0.2, 0.05]).astype(np.int8)
    pictures = FileSet(tuple(f"/{n}.jpg" for n in range(400)), SeveralLabels(labels))
    for fold in (1, 2, 3, 4):
        parts, _ = split(pictures, folds=4, fold=fold)
        assert np.abs(parts["test"].labels.rows.sum(0) - labels.sum(0) / 4).max() <= 8


# --- few shots ---


def test_fewer_shots_are_among_more_and_the_other_splits_stay():
    pictures = make_files(300)
    whole, _ = split(pictures)
    five, _ = split(pictures, shots=5)
    ten, notes = split(pictures, shots=10)
    assert list(np.bincount(five["train"].labels.numbers)) == [5, 5, 5]
    assert list(np.bincount(ten["train"].labels.numbers)) == [10, 10, 10]
    assert names_of(five["train"]) < names_of(ten["train"]) < names_of(whole["train"])
    for name in ("validation", "test"):
        assert ten[name].paths == whole[name].paths
    assert notes[-1] == "few-shot: 30 of the 210 training pictures, 10 of each class (seed 0)"


def test_the_seed_decides_the_shots():
    labels = np.arange(300) % 3
    first, again, other = (pick_shots(labels, (), 5, seed)[0].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_a_class_with_fewer_pictures_than_shots_is_named():
    labels = np.array([0] * 40 + [1] * 40 + [2] * 6)
    files = FileSet(tuple(f"/{n}.jpg" for n in range(86)), ClassLabels(labels))
    parts, notes = split(files, shots=10)
    assert list(np.bincount(parts["train"].labels.numbers)) == [10, 10, 4]
    assert "all that there are of green (4)" in notes[-1]


def test_shots_are_taken_from_as_many_groups_as_there_are():
    groups = ["large"] * 240 + [f"small{n // 6}" for n in range(60)]
    rows, _ = pick_shots(np.arange(300) % 3, groups, 8, 0)
    for label in range(3):
        assert len({groups[row] for row in rows if row % 3 == label}) == 8
    fewer, _ = pick_shots(np.arange(300) % 3, groups, 5, 0)
    assert set(fewer) < set(rows)


def test_shots_need_one_label_a_picture():
    labels = np.tile(np.array([[1, 1, 0], [0, 1, 1]], np.int8), (20, 1))
    with pytest.raises(InputError, match="shots needs one label a picture"):
        split(FileSet(tuple(f"/{n}.jpg" for n in range(40)), SeveralLabels(labels)), shots=2)
