"""Tests that a run is divided evenly among devices and that each picture counts once."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from support.small import load_tool
from support.spreading import assert_alike, run_spread, write_splits

from tfxfer.errors import InputError
from tfxfer.machine.processes import ALONE, Share
from tfxfer.machine.strategy import check_splits, divide_batch


@pytest.mark.slow
def test_two_mirrored_devices_give_what_one_gives(tmp_path, weights_file):
    pictures = write_splits(tmp_path / "split")
    _, figures = run_spread(
        "tensorflow", tmp_path, pictures, weights_file, 8, strategies=("single", "auto")
    )
    assert (figures["single"]["devices"], figures["auto"]["devices"]) == (1, 2)
    assert_alike(figures["auto"], figures["single"])


@pytest.mark.parametrize(
    ("batch_size", "pictures", "devices", "size"),
    [(32, 100, 1, 32), (32, 100, 3, 30), (32, 20, 8, 16), (32, 5, 1, 5)],
)
def test_a_batch_is_divided_evenly(batch_size, pictures, devices, size):
    assert divide_batch(batch_size, pictures, Share(devices=devices)) == size


def test_fewer_pictures_than_devices_are_refused():
    with pytest.raises(InputError, match=r"batches of 3 \(3 training pictures"):
        divide_batch(32, 3, Share(devices=4))


def test_more_processes_than_pictures_of_a_split_are_refused():
    with pytest.raises(InputError, match="Received: 2 in the test split for 3 processes"):
        check_splits({"train": 9, "test": 2}, Share(count=3))


def test_a_launcher_names_the_process_for_whose_want_the_others_ended(capsys):
    processes = [subprocess.Popen(["sh", "-c", what]) for what in ("exit 2", "kill -9 $$")]
    for process in processes:
        process.wait()
    assert load_tool("launch_local")._wait(processes) == 1
    assert "Received: process 1 ended with signal 9" in capsys.readouterr().err


def test_alone_a_process_has_everything():
    values = np.arange(6).reshape(3, 2)
    assert ALONE.is_first
    assert ALONE.gather(values) is values
    assert ALONE.total(3) == 3
    assert not ALONE.agree(False)


def test_processes_need_jax(tmp_path, picture_folder, capsys):
    from tfxfer.commands.main import main

    given = ["--preset", "photos", "--data", str(picture_folder), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["train", *given, "--distributed"]))
    assert ended.value.code == 2
    assert "Set KERAS_BACKEND=jax" in capsys.readouterr().err
