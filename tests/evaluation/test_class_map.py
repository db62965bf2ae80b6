"""Tests of the mapping from the classes of data to the classes of a model."""

from __future__ import annotations

import numpy as np
import pytest

from tfxfer.errors import InputError
from tfxfer.evaluation.class_map import LEFT_OUT, map_classes, read_class_map
from tfxfer.tasks.labels import ClassLabels, SeveralLabels


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("map.txt", "", "ends in .toml, .json, .csv"),
        ("gone.toml", None, "FileNotFoundError"),
        ("map.toml", "a = ", "TOMLDecodeError"),
        ("map.toml", "a.b = 'c'", "Put both names in double quotes"),
        ("map.json", '["a"]', "not a JSON object"),
        ("map.json", '{"a": {"b": "c"}}', "maps a name to a name"),
        ("map.json", '{"a": "b", "a": "c"}', "mapped to 'b' and to 'c'"),
        ("map.csv", "a,b\nc\n", "line 2 has 1 fields"),
        ("map.csv", '"a,b\n', "unexpected end"),
    ],
)
def test_a_wrong_mapping_file_is_named(tmp_path, name, text, expected):
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=expected):
        read_class_map(tmp_path / name)


def test_a_mapping_file_in_another_encoding_is_named(tmp_path):
    (tmp_path / "map.csv").write_bytes("grün,green\n".encode("latin-1"))
    with pytest.raises(InputError, match="in UTF-8"):
        read_class_map(tmp_path / "map.csv")


def test_only_classes_with_pictures_must_be_known():
    labels = ClassLabels(np.array([0, 0, 2]))
    numbers, notes = map_classes(labels, ("cat", "emu", "dog"), ("dog", "cat"))
    assert (numbers.tolist(), notes) == ([1, LEFT_OUT, 0], ())
    found, stays = labels.rename(numbers, 2)
    assert (found.numbers.tolist(), stays.all()) == ([1, 1, 0], True)
    with pytest.raises(InputError, match=r"\(dog, cat\).*1 of 3 classes"):
        map_classes(ClassLabels(np.array([1])), ("cat", "emu", "dog"), ("dog", "cat"))


def test_several_labels_of_one_class_are_one():
    labels = SeveralLabels(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]], np.int8))
    mapping = {"kitten": "cat", "emu": ""}
    numbers, notes = map_classes(labels, ("cat", "kitten", "emu"), ("dog", "cat"), mapping)
    found, stays = labels.rename(numbers, 2)
    assert found.rows.tolist() == [[0, 1], [0, 1], [0, 0]]
    assert stays.all(), "a picture that loses its last label has none, and stays"
    assert notes == ("class emu is left out, as --classes says: 1 labels",)
