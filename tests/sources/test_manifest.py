"""Tests of manifests as people write them: columns, roots, several labels, and wrong lines."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from support.settings import data_config
from support.small import COLOURS

from tfxfer.errors import InputError
from tfxfer.kinds import TASKS
from tfxfer.training.load import load_data

SPLITS = {"000": "train", "001": "", "002": "training", "003": "Val", "004": "test", "005": "test"}


def load(manifest, **changes):
    return load_data(data_config(source=str(manifest), **changes), seed=0)


def sizes(data):
    return [len(split.labels) for split in (data.train, data.validation, data.test)]


def list_rows(folder):
    return [
        {"path": f"{name}/{stem}.jpg", "label": name, "split": split}
        for name in COLOURS
        for stem, split in SPLITS.items()
    ]


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def write_rows(path, rows):
    """Write a manifest of the kind that its ending names."""
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path
    if path.suffix == ".jsonl":
        return write(path, "\n".join(json.dumps(row) for row in rows))
    separator = "," if path.suffix == ".csv" else "\t"
    lines = [separator.join(rows[0])] + [separator.join(row.values()) for row in rows]
    return write(path, "\n".join(lines) + "\n")


@pytest.fixture
def csv_file(own_folder):
    return write_rows(own_folder / "list.csv", list_rows(own_folder))


@pytest.mark.parametrize("name", ["list.csv", "list.tsv", "list.jsonl", "list.parquet", "L.CSV"])
def test_every_kind_of_table_gives_the_same_pictures(own_folder, name):
    rows = list_rows(own_folder)
    data = load(write_rows(own_folder / name.lower(), rows).rename(own_folder / name))
    assert data.classes == tuple(sorted(COLOURS))
    assert sizes(data) == [9, 3, 6]
    assert data.source.endswith(name)
    assert data.notes == ()
    for split in (data.train, data.validation, data.test):
        names = [data.classes[label] for label in split.labels.numbers]
        assert all(f"/{label}/" in path for label, path in zip(names, split.paths, strict=True))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_quotes_blank_lines_and_a_byte_order_mark(own_folder, encoding):
    (own_folder / "blue").rename(own_folder / 'a, "b" é')
    lines = ['path,"label"', ""]
    lines += [f'"a, ""b"" é/00{i}.jpg", "bleu, été"\r\n' for i in range(6)]
    lines += [f"green/00{i}.jpg,green " for i in range(6)]
    data = load(write(own_folder / "list.csv", "\r\n".join(lines), encoding))
    assert data.classes == ("bleu, été", "green")
    assert sum(sizes(data)) == 12


def test_columns_have_the_names_that_the_config_says(own_folder):
    rows = [{"file": r["path"], "what": r["label"], "part": r["split"], "bird": f"{r['label']}{i}"}
            for i, r in enumerate(list_rows(own_folder))]  # fmt: skip
    named = {"path_column": "file", "label_column": "what", "split_column": "part"}
    data = load(write_rows(own_folder / "list.csv", rows), group_column="bird", **named)
    assert sizes(data) == [9, 3, 6]
    assert data.train.groups[:4] == ("amber0", "amber1", "amber2", "blue6")


def test_roots_are_tried_one_after_the_other(own_folder, tmp_path):
    (tmp_path / "first").mkdir()
    (own_folder / "green").rename(tmp_path / "first" / "green")
    (own_folder / "lists").mkdir()
    manifest = write_rows(own_folder / "lists" / "list.csv", list_rows(own_folder))
    data = load(manifest, roots=(str(tmp_path / "first"), str(own_folder)))
    assert sizes(data) == [9, 3, 6]
    assert {path.split("/")[-3] for path in data.test.paths} == {"first", "photos"}
    with pytest.raises(InputError, match=r"lists/amber/000\.jpg: cannot be read"):
        load(manifest)


def test_absolute_paths_and_missing_splits(own_folder):
    rows = [{"path": str(own_folder / r["path"]), "label": r["label"]} for r in list_rows("")]
    assert sizes(load(write_rows(own_folder.parent / "list.csv", rows))) == [12, 3, 3]


def test_labels_stay_text(own_folder):
    numbers = dict(zip(COLOURS, ("007", "7", "10"), strict=True))
    rows = [row | {"label": numbers[row["label"]]} for row in list_rows(own_folder)]
    assert load(write_rows(own_folder / "list.csv", rows)).classes == ("007", "10", "7")
    rows = [row | {"label": int(row["label"]) + len(row["label"])} for row in rows]
    assert load(write_rows(own_folder / "list.parquet", rows)).classes == ("10", "12", "8")


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl", "list.parquet"])
def test_a_picture_may_have_several_labels_or_none(own_folder, name):
    rows = list_rows(own_folder)
    for row in rows:
        names = [row["label"], "dark"] if row["path"].endswith("0.jpg") else [row["label"]]
        names = [] if row["path"] == "blue/001.jpg" else names
        row["label"] = " | ".join(names) if name == "list.csv" else names
    changes = {"label_separator": "|"} if name == "list.csv" else {}
    data = load(write_rows(own_folder / name, rows), **changes)
    assert data.classes == ("amber", "blue", "dark", "green")
    assert data.task is TASKS["several"]
    assert data.train.labels.rows.dtype == np.int8
    assert data.train.labels.rows[:2].tolist() == [[1, 0, 1, 0], [1, 0, 0, 0]]
    assert (
        data.train.labels.rows[data.train.paths.index(str(own_folder / "blue/001.jpg"))].sum() == 0
    )
    if not changes:
        with pytest.raises(InputError, match="need one label a picture"):
            load(own_folder / name, shots=1)


WRONG = {
    ",blue,": "line 20: no path in the column 'path'",
    "blue/x.jpg, ,": "line 20: no label in the column 'label'",
    "blue/x.jpg,blue,vall": "line 20: unknown split 'vall', not of train, training",
    "blue/x.jpg,blue": "line 20: 2 fields, where line 1 names 3 columns",
    "blue/x.jpg,blue,,": "line 20: 4 fields",
    "blue/000.jpg,green,": "line 20: 'blue/000.jpg' stands in line 8 with another label",
    "./blue/000.jpg,blue,test": "line 20: './blue/000.jpg' stands in line 8",
    "blue/\0.jpg,blue,": "line 20: ",
    "blue/x.jpg,bl\x07ue,": "line 20: the label 'bl\\x07ue' is not printable",
    '"blue/x.jpg,blue,': "line 20: unexpected end of data",
    "blue/x.jpg,grean,val": "Did you mean 'green'? Correct",
    "blue/x.jpg,blue,": "blue/x.jpg: cannot be read",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_named(csv_file, line):
    csv_file.write_text(csv_file.read_text() + line)
    with pytest.raises(InputError, match="Received: ") as caught:
        load(csv_file)
    assert WRONG[line] in str(caught.value)


ENDLESS = '"blue/000.jpg,blue,train\n' + "green/000.jpg,green,\n" * 8000


@pytest.mark.parametrize("line", [ENDLESS, "x" * 140_000 + ",blue,"])
def test_a_field_that_is_too_long_is_named_where_it_begins(csv_file, line):
    csv_file.write_text(csv_file.read_text() + line)
    with pytest.raises(InputError, match=r"131,072 characters.*line 20, with a longer one\. Close"):
        load(csv_file)


def test_all_wrong_lines_are_named_at_once(csv_file):
    csv_file.write_text(csv_file.read_text() + ",blue,\n" * 30)
    with pytest.raises(InputError, match="30 of 48 are wrong") as caught:
        load(csv_file)
    assert "line 39" in str(caught.value)
    assert "… and 10 more" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "whose columns are ''"),
        ("path,label\n", "which lists none"),
        ("path,lable\na,b", "Did you mean 'lable'?"),
        ("path;lable\na;b", "whose columns are 'path;lable'"),
        ("filename,ants,bees\na,1,0", "If each class has a column of its own"),
        ("path,label,label\na,b,c", "'label' more than once"),
        ("path,label,split\nblue/000.jpg,blue,test", "none of them of the split train"),
    ],
)
def test_a_table_that_is_no_manifest_is_refused(own_folder, text, expected):
    with pytest.raises(InputError) as caught:
        load(write(own_folder / "list.csv", text))
    assert expected in str(caught.value)


def test_a_column_that_was_named_must_be_there(csv_file):
    for key, place in (("split_column", "reading"), ("group_column", "split")):
        with pytest.raises(InputError, match=rf"Did you mean 'split'\?.*data\.{place}\.{key}=NAME"):
            load(csv_file, **{key: "splits"})
    with pytest.raises(InputError, match="line 3: no group in the column 'split'"):
        load(csv_file, group_column="split")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"path": "a.jpg", "labl": "b"}', "line 2: no key 'label'. Did you mean 'labl'?"),
        ('{"path": "a.jpg"', "line 2: no JSON"),
        ('["a.jpg", "b"]', "line 2: not a JSON object"),
        (
            '{"path": "a.jpg", "label": 0.5}',
            "line 2: 0.5 must be text, a whole number, true or false",
        ),
        ('{"path": "\\ud800.jpg", "label": "b"}', "line 2: '\\ud800.jpg' cannot be a path"),
        ('{"path": "a.jpg", "label": null}', "line 2: no label"),
    ],
)
def test_a_wrong_json_line_is_named(own_folder, line, expected):
    with pytest.raises(InputError) as caught:
        load(write(own_folder / "list.jsonl", "\n" + line))
    assert expected in str(caught.value)


def test_a_group_of_broken_characters_is_named(own_folder):
    line = '{"path": "blue/000.jpg", "label": "blue", "bird": "\\ud800"}'
    with pytest.raises(InputError, match=r"line 1: the group '\\ud800' holds a broken character"):
        load(write(own_folder / "list.jsonl", line), group_column="bird", by="hash")


@pytest.mark.parametrize("kind", ["broken text", "times"])
def test_parquet_that_python_cannot_hold_is_refused(own_folder, kind):
    offsets = pyarrow.py_buffer(np.array([0, 2], np.int32).tobytes())
    broken = pyarrow.Array.from_buffers(
        pyarrow.string(), 1, [None, offsets, pyarrow.py_buffer(b"\xff\xfe")]
    )
    labels = {"broken text": broken, "times": pyarrow.array([1], pyarrow.timestamp("ns"))}
    table = pyarrow.table({"path": ["blue/000.jpg"], "label": labels[kind]})
    parquet.write_table(table, own_folder / "list.parquet")
    with pytest.raises(InputError, match="whole Parquet file"):
        load(own_folder / "list.parquet")


def test_files_that_are_not_what_their_ending_says_are_refused(own_folder, csv_file):
    with pytest.raises(InputError, match="whole Parquet file"):
        load(csv_file.rename(own_folder / "list.parquet"))
    with pytest.raises(InputError, match="not from line 2 on"):
        load(write(own_folder / "list.csv", "path,label\né,b", "latin-1"))
    with pytest.raises(InputError, match="which is not there"):
        load(own_folder / "none.csv")


def test_a_repeated_line_is_read_once_and_noted(csv_file):
    csv_file.write_text(csv_file.read_text() + "./blue/000.jpg,blue,train\n")
    data = load(csv_file)
    assert sizes(data) == [9, 3, 6]
    assert data.notes == (
        "1 lines repeat an earlier one and are read once: line 20 (./blue/000.jpg)",
    )


def test_a_pattern_names_the_groups(own_folder, csv_file):
    expected = ("amber-0", "amber-1", "amber-2", "blue-0")
    for path in own_folder.glob("*/*.jpg"):
        path.rename(path.with_name(f"{path.parent.name}-{path.stem[-1]}_x.jpg"))
    text = csv_file.read_text()
    for name in COLOURS:
        text = text.replace(f"{name}/00", f"{name}/{name}-").replace(".jpg", "_x.jpg")
        text = text.replace("_x_x", "_x")
    csv_file.write_text(text)
    assert load(csv_file, group_pattern=r"/(\w+-\d)_").train.groups[:4] == expected
    assert load(csv_file, group_pattern=r"\w+-\d(?=_)").train.groups[:4] == expected
    with pytest.raises(InputError, match=r"'amber/amber-3_x\.jpg'"):
        load(csv_file, group_pattern="amber-[012]|green")


FORMS = {
    "backslashes": lambda path: path.replace("/", "\\"),
    "blanks": lambda path: f" {path}  ",
    "both": lambda path: path.replace("/", "\\") + "\t ",
    "no ending": lambda path: path.removesuffix(".jpg"),
    "decomposed": lambda path: unicodedata.normalize("NFD", path),
    "no ending, decomposed": lambda path: unicodedata.normalize("NFD", path[:-4]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("below", [True, False], ids=["relative", "absolute"])
def test_a_path_may_be_written_in_another_form(own_folder, form, below):
    (own_folder / "blue").rename(own_folder / "bl\u00fc")
    for file in (own_folder / "bl\u00fc").iterdir():
        file.rename(file.with_name(f"\u00e9 {file.name}"))
    files = sorted(own_folder.glob("*/*.jpg"))
    rows = [
        {"path": FORMS[form](str(file.relative_to(own_folder) if below else file)),
         "label": file.parent.name, "split": "train"}
        for file in files
    ]  # fmt: skip
    data = load(write_rows(own_folder / "list.jsonl", rows))
    found = {path for split in (data.train, data.validation, data.test) for path in split.paths}
    assert found == set(map(str, files))


def test_a_name_without_an_ending_that_two_files_have_is_not_guessed(own_folder):
    (own_folder / "blue" / "000.png").write_bytes(b"another")
    rows = [{"path": f"{name}/{i:03d}", "label": name} for name in COLOURS for i in range(6)]
    with pytest.raises(InputError, match="blue/000: cannot be read"):
        load(write_rows(own_folder / "list.jsonl", rows))


def test_a_drive_of_windows_is_named_with_the_way_out(own_folder):
    rows = [{"path": f"C:\\photos\\{name}\\000.jpg", "label": name} for name in COLOURS]
    with pytest.raises(InputError, match=r"drive of Windows.*data\.reading\.roots"):
        load(write_rows(own_folder / "list.jsonl", rows))


def test_a_label_may_be_written_in_two_forms_of_unicode(own_folder):
    forms = ("abeill\u00e9", "abeille\u0301")
    rows = [
        {"path": f"{name}/{i:03d}.jpg", "label": name if name != "blue" else forms[i % 2]}
        for name in COLOURS
        for i in range(6)
    ]
    data = load(write_rows(own_folder / "list.jsonl", rows))
    assert data.classes == ("abeill\u00e9", "amber", "green")


@pytest.mark.parametrize("split", ["training_set", "TEST images", "dev", "val-set"])
def test_splits_of_a_manifest_have_names_as_folders_have(own_folder, split):
    rows = [
        {"path": f"{name}/{i:03d}.jpg", "label": name, "split": split if i > 3 else "train"}
        for name in COLOURS
        for i in range(6)
    ]
    assert sum(sizes(load(write_rows(own_folder / "list.jsonl", rows)))) == 18


@pytest.mark.parametrize("separator", [";", "|", "\t", " ; "])
def test_columns_may_be_parted_by_another_sign(own_folder, separator):
    rows = [
        ("path", "label"),
        *((f"{name}/{i:03d}.jpg", name) for name in COLOURS for i in range(6)),
    ]
    text = "\n".join(separator.join(row) for row in rows)
    data = load(write(own_folder / "list.csv", text))
    assert sum(sizes(data)) == 18 and data.classes == tuple(sorted(COLOURS))


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
@pytest.mark.parametrize(
    ("labels", "classes"),
    [((True, False), ("false", "true")), ((1.0, 0.0), ("0", "1")), ((3, 7), ("3", "7"))],
)
def test_labels_may_be_booleans_and_whole_numbers(own_folder, ending, labels, classes):
    rows = [{"path": f"{name}/{i:03d}.jpg", "label": labels[name == "blue"]}
            for name in COLOURS for i in range(6)]  # fmt: skip
    assert load(write_rows(own_folder / f"list{ending}", rows)).classes == classes


def test_quantities_are_refused_with_the_way_out(own_folder):
    rows = [{"path": f"{name}/{i:03d}.jpg", "label": f"{len(name) + 0.37 * i:.2f}"}
            for name in COLOURS for i in range(6)]  # fmt: skip
    with pytest.raises(InputError, match=r"12 numbers for 18 pictures.*divide them into ranges"):
        load(write_rows(own_folder / "list.csv", rows))


def test_versions_are_classes_and_no_quantities(own_folder):
    rows = [{"path": f"{name}/{i:03d}.jpg", "label": f"1.{len(name)}"}
            for name in COLOURS for i in range(6)]  # fmt: skip
    assert load(write_rows(own_folder / "list.csv", rows)).classes == ("1.4", "1.5")


def test_classes_that_differ_in_case_or_blanks_alone_are_noted(own_folder):
    labels = {"amber": "Ant lion", "blue": "antlion", "green": "Bee"}
    rows = [{"path": f"{name}/{i:03d}.jpg", "label": labels[name]}
            for name in COLOURS for i in range(6)]  # fmt: skip
    notes = load(write_rows(own_folder / "list.csv", rows)).notes
    assert any("'Ant lion' and 'antlion' differ in case or blanks alone" in note for note in notes)


def write_hugging_face(
    file, folder, numbers, *, several=False, change=lambda rows: None, **columns
):
    """Write pictures as Hugging Face does: bytes with their names, and the classes as metadata."""
    names = sorted(COLOURS)
    rows = [
        {"image": {"bytes": (folder / name / f"{i:03d}.jpg").read_bytes(), "path": f"{i}.jpg"},
         "label": [names.index(name), 0] if several else names.index(name), **columns}
        for name in names for i in numbers
    ]  # fmt: skip
    change(rows)
    label = {"names": names, "_type": "ClassLabel"}
    label = {"feature": label, "_type": "List"} if several else label
    features = {"image": {"_type": "Image"}, "label": label}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(pyarrow.Table.from_pylist(rows).replace_schema_metadata(metadata), file)
    return file


def test_pictures_in_a_parquet_file_are_read(own_folder, own_cache, tmp_path):
    file = write_hugging_face(tmp_path / "birds.parquet", own_folder, range(6))
    config = data_config(source=str(file))
    data = load_data(config, seed=0, cache=own_cache)
    assert data.source == str(file)
    assert data.classes == ("amber", "blue", "green")
    assert sum(sizes(data)) == 18
    encoded = {bytes(each) for split in (data.train, data.validation, data.test)
               for each, _ in split.encoded().as_numpy_iterator()}  # fmt: skip
    assert encoded == {path.read_bytes() for path in own_folder.glob("*/*.jpg")}
    written = {path: path.stat().st_mtime_ns for path in own_cache.glob("datasets/*/*/*")}
    assert len(written) == 18
    again = load_data(config, seed=0, cache=own_cache)
    assert again.train.paths == data.train.paths
    assert written == {path: path.stat().st_mtime_ns for path in own_cache.glob("datasets/*/*/*")}


def test_the_files_of_a_hugging_face_data_set_are_its_splits(own_folder, own_cache, tmp_path):
    first = write_hugging_face(tmp_path / "train-00000-of-00002.parquet", own_folder, range(2))
    write_hugging_face(tmp_path / "train-00001-of-00002.parquet", own_folder, range(2, 4))
    write_hugging_face(tmp_path / "test-00000-of-00001.parquet", own_folder, (5,))
    write_hugging_face(tmp_path / "validation-00000-of-00001-ab12.parquet", own_folder, (4,))
    data = load_data(data_config(source=str(first)), seed=0, cache=own_cache)
    assert sizes(data) == [12, 3, 3]


def test_pictures_in_two_columns_are_asked_about(own_folder, own_cache, tmp_path):
    mask = (own_folder / "blue" / "000.jpg").read_bytes()
    columns = {"mask": mask, "hash": b"no picture"}
    file = write_hugging_face(tmp_path / "two.parquet", own_folder, range(6), **columns)
    with pytest.raises(InputError, match=r"image, mask.*picture_key=image"):
        load_data(data_config(source=str(file)), seed=0, cache=own_cache)
    config = data_config(source=str(file), picture_key="image")
    assert sum(sizes(load_data(config, seed=0, cache=own_cache))) == 18
    assert not list(own_cache.glob("datasets/.unfinished*"))


def test_a_missing_file_of_a_hugging_face_data_set_is_named(own_folder, own_cache, tmp_path):
    first = write_hugging_face(tmp_path / "train-00000-of-00003.parquet", own_folder, range(3))
    write_hugging_face(tmp_path / "train-00002-of-00003.parquet", own_folder, range(3, 6))
    with pytest.raises(InputError, match=r"train-\*-of-00003\.parquet lacks number 00001\. Fetch"):
        load_data(data_config(source=str(first)), seed=0, cache=own_cache)


def test_two_sets_of_files_for_one_split_are_refused(own_folder, own_cache, tmp_path):
    first = write_hugging_face(tmp_path / "train-00000-of-00001.parquet", own_folder, range(3))
    other = write_hugging_face(tmp_path / "cats-train-00000-of-00001.parquet", own_folder, (4,))
    data = load_data(data_config(source=str(first)), seed=0, cache=own_cache)
    assert sum(sizes(data)) == 9, "files of another name are another data set's"
    other.rename(tmp_path / "train-00000-of-00001-abcd.parquet")
    with pytest.raises(InputError, match="two files have the same one: train-00000-of-00001-abcd"):
        load_data(data_config(source=str(first)), seed=0, cache=own_cache)
    (tmp_path / "train-00000-of-00001-abcd.parquet").rename(
        tmp_path / "training-00000-of-00001.parquet"
    )
    with pytest.raises(InputError, match=r"train-\*-of-00001 and training-\*-of-00001 both say"):
        load_data(data_config(source=str(first)), seed=0, cache=own_cache)


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_a_numbered_file_that_is_not_there_is_said(folder, tmp_path):
    with pytest.raises(InputError, match="which is not there"):
        load(tmp_path / folder / "train-00000-of-00001.parquet")


def test_an_empty_split_is_that_of_the_file(own_folder, own_cache, tmp_path):
    first = tmp_path / "train-00000-of-00001.parquet"
    write_hugging_face(first, own_folder, range(5), split=None)
    write_hugging_face(tmp_path / "test-00000-of-00001.parquet", own_folder, (5,), split=None)
    data = load_data(data_config(source=str(first)), seed=0, cache=own_cache)
    assert len(data.test.labels) == 3
    assert any("with the other files of its data set: test-00000" in note for note in data.notes)


def test_a_damaged_file_of_a_data_set_is_named(own_folder, own_cache, tmp_path):
    first = write_hugging_face(tmp_path / "train-00000-of-00002.parquet", own_folder, range(3))
    other = write_hugging_face(tmp_path / "train-00001-of-00002.parquet", own_folder, range(3, 6))
    other.write_bytes(other.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"must be whole\. Received: '.*train-00001-of-00002"):
        load_data(data_config(source=str(first)), seed=0, cache=own_cache)


def test_lists_of_paths_in_several_files_are_read_together(own_folder):
    rows = [row for row in list_rows(own_folder) if row["split"] != "test"]
    first = write_rows(own_folder / "train-00000-of-00002.parquet", rows[::2])
    write_rows(own_folder / "train-00001-of-00002.parquet", rows[1::2])
    assert sum(sizes(load(first))) == len(rows)
    rows[1]["label"] = ""
    write_rows(own_folder / "train-00001-of-00002.parquet", rows[1::2])
    with pytest.raises(InputError, match=r"train-00001-of-00002\.parquet, row 1: no label"):
        load(first)


def test_columns_and_numbers_that_are_not_there_are_said(own_folder, own_cache, tmp_path):
    def spoil(rows):
        rows[3]["label"] = 3

    file = write_hugging_face(tmp_path / "birds.parquet", own_folder, range(6), change=spoil)
    with pytest.raises(InputError, match=r"must be 0 to 2.*Received: 3 in birds\.parquet, row 4"):
        load_data(data_config(source=str(file)), seed=0, cache=own_cache)
    with pytest.raises(InputError, match=r"picture_key must name a column\. Received: 'imag';"):
        config = data_config(source=str(file), picture_key="imag")
        load_data(config, seed=0, cache=own_cache)


def test_lists_of_class_numbers_in_parquet_get_their_names(own_folder, own_cache, tmp_path):
    file = write_hugging_face(tmp_path / "a.parquet", own_folder, range(6), several=True)
    data = load_data(data_config(source=str(file)), seed=0, cache=own_cache)
    assert data.classes == ("amber", "blue", "green")
    assert data.task.name == "several"
    assert data.train.labels.rows[:, 0].all()


@pytest.mark.parametrize("label", [-1, None])
def test_a_split_without_labels_is_left_out_with_a_note(own_folder, own_cache, tmp_path, label):
    def forget(rows):
        for row in rows:
            row["label"] = label

    first = write_hugging_face(tmp_path / "train-00000-of-00001.parquet", own_folder, range(5))
    write_hugging_face(tmp_path / "test-00000-of-00001.parquet", own_folder, (5,), change=forget)
    data = load_data(data_config(source=str(first)), seed=0, cache=own_cache)
    assert sum(sizes(data)) == 15
    assert any("the 3 pictures of the split test have no labels" in note for note in data.notes)


def test_faults_of_pictures_in_parquet_name_the_file_and_its_row(own_folder, own_cache, tmp_path):
    def spoil(rows):
        rows[2]["label"] = None
        rows[4]["image"] = {"bytes": None, "path": None}
        rows[5]["image"] = {"bytes": None, "path": "elsewhere.jpg"}

    (tmp_path / "elsewhere.jpg").write_bytes((own_folder / "blue" / "000.jpg").read_bytes())
    file = write_hugging_face(tmp_path / "birds.parquet", own_folder, range(6), change=spoil)
    with pytest.raises(InputError) as refused:
        load_data(data_config(source=str(file)), seed=0, cache=own_cache)
    assert f"{str(file)!r}, in which 2 of 18 are wrong" in str(refused.value)
    assert "birds.parquet, row 3: no label in the column 'label'" in str(refused.value)
    assert "birds.parquet, row 5: no path in the column 'image'" in str(refused.value)
    with pytest.raises(InputError, match=r"without 'species' among image, label\. Rename"):
        config = data_config(source=str(file), label_column="species")
        load_data(config, seed=0, cache=own_cache)


def test_pictures_in_bytes_of_one_length_are_read(own_folder, own_cache, tmp_path):
    files = {name: sorted((own_folder / name).iterdir()) for name in COLOURS}
    longest = max(file.stat().st_size for each in files.values() for file in each)
    rows = [{"photo": file.read_bytes().ljust(longest, b"\0"), "label": name}
            for name, each in files.items() for file in each]  # fmt: skip
    kinds = {"photo": pyarrow.binary(longest), "label": pyarrow.string()}
    table = pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(kinds))
    parquet.write_table(table, tmp_path / "fixed.parquet")
    config = data_config(source=str(tmp_path / "fixed.parquet"))
    assert sum(sizes(load_data(config, seed=0, cache=own_cache))) == 18


def test_a_line_that_says_the_separator_is_none_of_the_columns(own_folder):
    lines = [f"{name}/{i:03d}.jpg;{name}" for name in COLOURS for i in range(6)]
    text = "\r\n".join(["sep=;", "path;label", *lines])
    assert sum(sizes(load(write(own_folder / "list.csv", text)))) == 18
    wrong = write(own_folder / "wrong.csv", f"{text}\r\n;blue")
    with pytest.raises(InputError, match="line 21: no path"):
        load(wrong)


def test_endings_in_other_case_and_folders_of_the_same_name(own_folder):
    for name in COLOURS:
        (own_folder / name / "000").mkdir()
    lines = [f"{name}/{i:03d}{'.JPG' if i else ''},{name}" for name in COLOURS for i in range(6)]
    data = load(write(own_folder / "list.csv", "\n".join(["path,label", *lines])))
    assert sum(sizes(data)) == 18


def test_a_test_list_without_labels_is_left_out_with_a_note(own_folder):
    rows = [
        row | ({"label": ""} if row["split"] == "test" else {}) for row in list_rows(own_folder)
    ]
    data = load(write_rows(own_folder / "list.csv", rows))
    assert sum(sizes(data)) == 12
    assert any("the 6 pictures of the split test have no labels" in note for note in data.notes)
