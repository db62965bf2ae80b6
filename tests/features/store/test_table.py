"""Stored features come back as they were, or count as missing."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from tfxfer.cache.digest import digest
from tfxfer.data.items import FileSet
from tfxfer.errors import InputError
from tfxfer.features.store import shards
from tfxfer.features.store.table import Table, look_up
from tfxfer.tasks.labels import ClassLabels

KIND = shards.Kind("key", (2, 3), {"network": "net", "cut": "block"})
NAMES = ("a", "b", "c", "d")
# Numbers that every type of the store holds exactly.
FEATURES = np.arange(24, dtype=np.float32).reshape(4, 2, 3)


def write(folder, names=NAMES, features=FEATURES, dtype="float16", kind=KIND) -> None:
    with shards.write_shard(folder, kind, names, dtype) as append:
        for start in range(0, len(names), 3):
            append(features[start : start + 3])


def shards_of(folder, kind=KIND) -> list[Path]:
    return sorted(path for path in (folder / kind.key).iterdir() if path.is_dir())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_features_are_read_as_they_were_written(tmp_path, dtype):
    write(tmp_path, dtype=dtype)
    table = look_up(tmp_path, KIND, NAMES)
    assert (table.dtype, table.missing.size, table.damaged, len(table)) == (dtype, 0, 0, 4)
    assert table.read().dtype == {"bfloat16": ml_dtypes.bfloat16}.get(dtype, dtype)
    np.testing.assert_array_equal(table.read().astype(np.float32), FEATURES)
    np.testing.assert_array_equal(table.read(np.array([3, 0, 3])), FEATURES[[3, 0, 3]])
    np.testing.assert_array_equal(table.read(slice(1, 3)), FEATURES[1:3])


def test_pictures_are_found_in_any_order_and_missing_ones_told(tmp_path):
    write(tmp_path)
    table = look_up(tmp_path, KIND, ["d", "unknown", "a"])
    np.testing.assert_array_equal(table.missing, [1])
    np.testing.assert_array_equal(table.read(np.array([0, 2])), FEATURES[[3, 0]])
    other = shards.Kind("other", KIND.shape, {})
    np.testing.assert_array_equal(look_up(tmp_path, other, NAMES).missing, range(4))


def test_two_shards_are_read_as_one(tmp_path):
    write(tmp_path, ("a", "b"), FEATURES[:2], "float16")
    write(tmp_path, ("c", "d"), FEATURES[2:], "bfloat16")
    assert len(shards_of(tmp_path)) == 2
    table = look_up(tmp_path, KIND, ["d", "a", "c", "b"])
    assert table.dtype == "float32", "what holds the numbers of both"
    np.testing.assert_array_equal(table.read(), FEATURES[[3, 0, 2, 1]])


def test_a_shard_is_there_when_it_is_whole_and_not_before(tmp_path):
    with shards.write_shard(tmp_path, KIND, NAMES, "float16") as append:
        append(FEATURES)
        assert look_up(tmp_path, KIND, NAMES).missing.size == 4
    assert look_up(tmp_path, KIND, NAMES).missing.size == 0


def test_a_failure_while_writing_leaves_nothing(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        shards.write_shard(tmp_path, KIND, NAMES, "float16") as append,
    ):
        append(FEATURES[:3])
        raise KeyboardInterrupt
    assert [path.name for path in (tmp_path / "key").iterdir()] == ["about.json"]
    assert look_up(tmp_path, KIND, NAMES).missing.size == 4


def test_what_a_killed_process_left_is_ignored_and_removed_after_a_while(tmp_path):
    write(tmp_path)
    (shard,) = shards_of(tmp_path)
    left = shard.rename(tmp_path / "key" / ".unfinished-1")
    assert look_up(tmp_path, KIND, NAMES).missing.size == 4
    write(tmp_path, ("a",), FEATURES[:1])
    assert left.is_dir(), "another process may still be writing it"
    long_ago = time.time() - 2 * 3600
    os.utime(left, (long_ago, long_ago))
    write(tmp_path, ("a",), FEATURES[:1])
    assert left.is_dir(), "its file was written to lately"
    for path in left.iterdir():
        os.utime(path, (long_ago, long_ago))
    write(tmp_path, ("b",), FEATURES[1:2])
    assert not left.exists()


def check_damage(folder, damaged) -> Table:
    """Look up after damage: what is still found is right, and the rest counts as missing."""
    table = look_up(folder, KIND, NAMES)
    found = np.setdiff1d(np.arange(4), table.missing)
    if found.size:
        np.testing.assert_array_equal(table.read(found), FEATURES[found], err_msg=repr(damaged))
    assert table.damaged == (0 if found.size else 1), damaged
    assert len(shards_of(folder)) == 1 - table.damaged, "a damaged shard is removed"
    return table


@pytest.mark.parametrize("file", ["features.npy", "index.json"])
def test_a_file_cut_off_anywhere_is_not_believed(tmp_path, file):
    for length in range(400):
        folder = tmp_path / str(length)
        write(folder)
        path = shards_of(folder)[0] / file
        whole = path.read_bytes()
        if length == len(whole):
            return
        path.write_bytes(whole[:length])
        assert check_damage(folder, whole[:length]).missing.size == 4


@pytest.mark.parametrize("file", ["features.npy", "index.json"])
def test_a_bit_that_flipped_anywhere_gives_no_wrong_features(tmp_path, file):
    write(tmp_path)
    size = (shards_of(tmp_path)[0] / file).stat().st_size
    for position in range(size):
        folder = tmp_path / str(position)
        write(folder)
        path = shards_of(folder)[0] / file
        content = bytearray(path.read_bytes())
        content[position] ^= 1 << position % 8
        path.write_bytes(content)
        check_damage(folder, bytes(content))


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"dtype": "float16"}', "\x00" * 50])
def test_an_index_that_is_none_is_not_believed(tmp_path, text):
    write(tmp_path)
    (shards_of(tmp_path)[0] / "index.json").write_text(text)
    table = look_up(tmp_path, KIND, NAMES)
    assert (table.missing.size, table.damaged) == (4, 1)
    assert shards_of(tmp_path) == []


def test_features_of_another_shape_are_not_believed(tmp_path):
    write(tmp_path)
    wider = shards.Kind(KIND.key, (2, 4), {})
    assert look_up(tmp_path, wider, NAMES).missing.size == 4


@pytest.mark.parametrize("rows", [FEATURES[:3], np.concatenate([FEATURES, FEATURES])])
def test_a_shard_with_rows_that_are_missing_or_too_many_is_not_kept(tmp_path, rows):
    with (
        pytest.raises(ValueError, match=f"of 4 pictures got features of {len(rows)}"),
        shards.write_shard(tmp_path, KIND, NAMES, "float16") as append,
    ):
        append(rows)
    assert look_up(tmp_path, KIND, NAMES).missing.size == 4


def test_missing_rows_are_not_read_as_others(tmp_path):
    write(tmp_path)
    table = look_up(tmp_path, KIND, ["a", "unknown"])
    with pytest.raises(LookupError, match="features of 1 pictures are not stored"):
        table.read()
    with pytest.raises(LookupError):
        look_up(tmp_path / "nowhere", KIND, ["a"]).read()


def test_shards_that_hold_nothing_of_what_is_wanted_are_not_read(tmp_path):
    write(tmp_path, ("a", "b"), FEATURES[:2])
    (other,) = shards_of(tmp_path)
    (other / "features.npy").write_bytes(b"damaged")
    write(tmp_path, ("c", "d"), FEATURES[2:])
    table = look_up(tmp_path, KIND, ["c", "d"])
    assert (table.damaged, len(table.shards)) == (0, 1)
    np.testing.assert_array_equal(table.read(), FEATURES[2:])
    assert other.is_dir()


def test_features_that_cannot_be_read_for_now_are_left_alone(tmp_path, monkeypatch):
    write(tmp_path)

    def fail_with(number):
        def refuse(*arguments):
            raise OSError(number, "refused")

        return refuse

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", fail_with(errno.EIO))
        table = look_up(tmp_path, KIND, NAMES)
    assert (table.missing.size, table.damaged) == (4, 0)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="refused"):
        patch.setattr("builtins.open", fail_with(errno.EMFILE))  # to compute anew opens even more
        look_up(tmp_path, KIND, NAMES)
    assert look_up(tmp_path, KIND, NAMES).missing.size == 0


def test_damage_to_one_shard_leaves_the_others(tmp_path):
    write(tmp_path, ("a", "b"), FEATURES[:2])
    first = shards_of(tmp_path)[0]
    write(tmp_path, ("c", "d"), FEATURES[2:])
    (first / "features.npy").write_bytes(b"")
    table = look_up(tmp_path, KIND, NAMES)
    np.testing.assert_array_equal(table.missing, [0, 1])
    np.testing.assert_array_equal(table.read(np.array([2, 3])), FEATURES[2:])


def test_a_file_that_is_replaced_is_another_picture(tmp_path):
    path = tmp_path / "blue" / "1.jpg"
    path.parent.mkdir()
    path.write_bytes(b"one")
    pictures = FileSet((str(path),), ClassLabels(np.zeros(1, np.int64)))
    (before,) = pictures.identities()
    assert pictures.identities() == [before]
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    (touched,) = pictures.identities()
    path.write_bytes(b"longer")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (longer,) = pictures.identities()
    assert len({before.stamp, touched.stamp, longer.stamp}) == 3
    assert {before.name, touched.name, longer.name} == {"blue/1.jpg"}


def test_hashes_tell_parts_apart():
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    assert digest("é") == digest("é".encode())
    assert digest("caf\udce9") != digest("caf")  # a file's name need not be UTF-8


@pytest.mark.parametrize(
    ("features", "dtype"),
    [
        (np.linspace(-10, 10, 100), "float16"),
        (np.array([0.0, 1.0, 65_504.0]), "float16"),
        (np.array([0.0, 1.0, 70_000.0]), "bfloat16"),
        (np.linspace(1e-8, 1e-6, 100), "bfloat16"),
        (np.array([1.0, 3.4e38]), "float32"),
        (np.array([1.0, np.nan]), "float32"),
    ],
)
def test_the_shortest_type_that_keeps_the_features_is_chosen(features, dtype):
    features = features.astype(np.float32)
    assert shards.choose_dtype(features) == dtype
    rounded = shards.cast(features, dtype).astype(np.float32)
    np.testing.assert_allclose(
        rounded, features, rtol=5e-3, atol=1e-3 * np.nanmax(np.abs(features))
    )


def test_a_number_that_does_not_fit_is_an_error_and_infinity_is_kept(tmp_path):
    with pytest.raises(OverflowError, match=r"up to 7e\+04 do not fit float16"):
        shards.cast(np.array([1.0, 70_000.0], np.float32), "float16")
    assert np.isinf(shards.cast(np.array([np.inf], np.float32), "float16")).all()
    with pytest.raises(OverflowError):
        write(tmp_path, features=FEATURES * 1e5)
    assert look_up(tmp_path, KIND, NAMES).missing.size == 4
    assert shards_of(tmp_path) == []


def test_a_cache_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"Received: '.*file.*cache_dir=DIR"):
        write(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_index_is_plain_json(tmp_path):
    write(tmp_path)
    _, text = (shards_of(tmp_path)[0] / "index.json").read_text().split("\n")
    index = json.loads(text)
    assert (index["dtype"], index["identities"]) == ("float16", list(NAMES))
