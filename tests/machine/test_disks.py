"""Tests that a full disk is known in whatever form a library reports it, and named."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import h5py
import pytest
import tensorflow as tf

from tfxfer.errors import FullDiskError, InputError, exit_code, find_full_disk
from tfxfer.machine.disks import Place, disk_errors
from tfxfer.phases.memory import memory_errors

FULL = "/dev/full"  # Every write to it says that no space is left.
pytestmark = pytest.mark.skipif(not Path(FULL).exists(), reason="needs Linux's /dev/full")


def write_plainly() -> None:
    with open(FULL, "w") as file:
        file.write("x")


def write_by_tensorflow() -> None:
    with tf.io.TFRecordWriter(FULL) as writer:
        writer.write(b"x" * 1_000_000)


def write_wrapped() -> None:
    try:
        write_by_tensorflow()
    except tf.errors.OpError as error:
        raise RuntimeError("a split could not be written") from error


WRITERS = [write_plainly, write_by_tensorflow, write_wrapped]


@pytest.mark.parametrize("write", WRITERS)
def test_a_full_disk_is_known_from_any_error(write, tmp_path):
    room = shutil.disk_usage(tmp_path).free
    places = [Place("The cache", tmp_path / "a" / "b", "name another cache"),
              Place("The run folder", Path("/dev"), "name another run folder")]  # fmt: skip
    with pytest.raises(FullDiskError) as raised, disk_errors(places), memory_errors(32):
        write()
    text = str(raised.value)
    assert "needs room. Received: a full disk at" in text and "No space left on device" in text
    assert "Make room there, or name another" in text
    assert "{{" not in text
    assert isinstance(raised.value, OSError) and raised.value.errno == errno.ENOSPC
    assert room == 0 or raised.value.__cause__ is not None


def test_the_disk_that_an_error_names_is_blamed(tmp_path):
    places = [Place("The cache", tmp_path, "x"), Place("The run folder", Path("/dev"), "y")]
    with pytest.raises(FullDiskError, match=r"The run folder .* at '/dev'"), disk_errors(places):
        write_by_tensorflow()


def test_other_errors_stay_what_they_are():
    for error in (OSError(errno.EACCES, "no"), ValueError("no"), FullDiskError(errno.ENOSPC, "x")):
        with pytest.raises(type(error)) as raised, disk_errors([]):
            raise error
        assert raised.value is error
    assert not find_full_disk(None)
    assert not find_full_disk(tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"))


def test_a_full_disk_is_no_want_of_memory():
    with pytest.raises(tf.errors.ResourceExhaustedError), memory_errors(32):
        write_by_tensorflow()
    with pytest.raises(InputError, match="must fit in memory"), memory_errors(32):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor")


def test_hdf5_s_errors_are_known_by_their_words(tmp_path):
    with pytest.raises(OSError, match="No space left") as raised, h5py.File(FULL, "w") as file:
        file["x"] = b"x" * 100_000
    assert find_full_disk(raised.value)


@pytest.mark.parametrize("write", WRITERS)
def test_commands_end_with_a_sentence(write, capsys):
    assert exit_code(write) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "No space left on device" in error
    assert "Traceback" not in error
