"""Files whose rows are of different lengths."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tfxfer.features.store.shards import Kind, open_shard, write_shard
from tfxfer.features.store.table import look_up

KIND = Kind("0" * 32, (None, 3), {})
NAMES = ["a", "b", "c", "d"]
LENGTHS = np.array([4, 0, 2, 5])


def draw(lengths=LENGTHS) -> np.ndarray:
    features = np.random.default_rng(0).normal(size=(len(lengths), 5, 3)).astype(np.float32)
    features[np.arange(5) >= np.array(lengths)[:, np.newaxis]] = 7.0  # padding: not to be kept
    return features


def write(folder, features, names=NAMES, lengths=LENGTHS, dtype="float32") -> None:
    with write_shard(folder, KIND, names, dtype) as append:
        append(features[:1], lengths[:1])
        append(features[1:], lengths[1:])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_rows_come_back_padded_with_zeros(tmp_path, dtype):
    features = draw()
    write(tmp_path, features, dtype=dtype)
    table = look_up(tmp_path, KIND, ["d", "b", "unknown", "a"])
    np.testing.assert_array_equal(table.missing, [2])
    np.testing.assert_array_equal(table.lengths, [5, 0, 0, 4])
    read = table.read(np.array([1, 3, 0]))
    assert read.shape == (3, 5, 3)
    for row, position in zip(read.astype(np.float32), (1, 0, 3), strict=True):
        length = LENGTHS[position]
        np.testing.assert_allclose(row[:length], features[position, :length], rtol=1e-2)
        assert not row[length:].any()
    assert table.read(np.array([1])).shape == (1, 0, 3), "nothing is as long as nothing"


def test_rows_of_several_files_are_read_together(tmp_path):
    features = draw()
    write(tmp_path, features[:2], NAMES[:2], LENGTHS[:2])
    write(tmp_path, features[2:], NAMES[2:], LENGTHS[2:], dtype="float16")
    table = look_up(tmp_path, KIND, NAMES[::-1])
    assert (len(table.shards), table.dtype) == (2, "float32")
    np.testing.assert_array_equal(table.lengths, LENGTHS[::-1])
    for row, position in zip(table.read(), (3, 2, 1, 0), strict=True):
        length = LENGTHS[position]
        np.testing.assert_allclose(row[:length], features[position, :length], rtol=1e-2)


def test_texts_that_are_all_empty_are_stored_as_well(tmp_path):
    lengths = np.zeros(2, int)
    with write_shard(tmp_path, KIND, ["a", "b"], "float32") as append:
        append(np.zeros((2, 3, 3), np.float32), lengths)
    table = look_up(tmp_path, KIND, ["a", "b"])
    assert table.missing.size == 0 and table.read().shape == (2, 0, 3)


def test_rows_without_their_lengths_are_refused_and_nothing_is_kept(tmp_path):
    with (
        pytest.raises(ValueError, match="must come with their lengths"),
        write_shard(tmp_path, KIND, NAMES, "float32") as append,
    ):
        append(draw())
    assert look_up(tmp_path, KIND, NAMES).missing.size == 4


def test_a_damaged_file_and_one_of_another_shape_count_as_not_there(tmp_path):
    write(tmp_path, draw())
    (path,) = [each for each in (tmp_path / KIND.key).iterdir() if each.is_dir()]
    wider = Kind(KIND.key, (None, 4), {})
    assert open_shard(path, KIND.shape, frozenset("a")) is not None
    content = bytearray((path / "features.npy").read_bytes())
    content[-1] ^= 1
    (path / "features.npy").write_bytes(content)
    assert look_up(tmp_path, KIND, NAMES).damaged == 1
    write(tmp_path, draw())
    assert look_up(tmp_path, wider, NAMES).damaged == 1


def test_other_programs_can_read_the_file(tmp_path):
    features = draw()
    write(tmp_path, features)
    (path,) = [each for each in (tmp_path / KIND.key).iterdir() if each.is_dir()]
    joined = np.concatenate([row[:n] for row, n in zip(features, LENGTHS, strict=True)])
    np.testing.assert_array_equal(np.load(path / "features.npy"), joined)
    about = json.loads((tmp_path / KIND.key / "about.json").read_text())
    assert about["shape"] == [None, 3]
