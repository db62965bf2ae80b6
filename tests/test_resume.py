"""A run whose process was killed goes on where it was, and comes to the same."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
from rich.console import Console

import tfxfer
from tfxfer.errors import exit_code
from tfxfer.features.cache import clear_others, measure_others
from tfxfer.features.in_use import claim
from tfxfer.phases.checkpoint import EPOCHS, PHASES
from tfxfer.phases.state import read_state, write_state
from tfxfer.phases.unfinished import FOLDER
from tfxfer.presets import dump_config, load_config
from tfxfer.training import run_training

EPOCHS_DONE = 3
# Kills itself after an epoch of fine-tuning; the head's phase calls `watch` too.
KILLED = f"""
import os, signal, sys
from pathlib import Path
from tfxfer import runtime
runtime.import_tensorflow()
from tfxfer.presets import load_config
from tfxfer.report.console import make_console
from tfxfer.training import run_training
calls = []
def watch(model):
    calls.append(model)
    if len(calls) == {1 + EPOCHS_DONE}:
        os.kill(os.getpid(), signal.SIGKILL)
config, out = load_config(sys.argv[1]), Path(sys.argv[2])
run_training(config, out, make_console(True), watch=watch, every_seconds=0)
"""


class StoppedError(Exception):
    """What ends a run after its first epoch or phase."""


@pytest.fixture(scope="module")
def preset(tmp_path_factory, picture_folder, weights_file) -> Path:
    """A head, and a phase in which everything is by chance: views, MixUp, dropout."""
    settings = {
        "backbone.alpha": 0.25,
        "backbone.image_size_px": 32,
        "data.batch_size": 8,
        "head.levels": 1,
        "phases.fine-tune.epochs": 6,
        "phases.fine-tune.views": 2,
        "phases.fine-tune.unfreeze": 2,
        "phases.fine-tune.mixup": 0.4,
        "phases.fine-tune.patience": 5,
        "features.engine": "tensorflow",
    }
    config = load_config(
        "photos", data=picture_folder, backbone="MobileNet", weights=weights_file, settings=settings
    )
    path = tmp_path_factory.mktemp("presets") / "small.toml"
    path.write_text(dump_config(config))
    return path


@pytest.fixture(scope="module")
def killed(tmp_path_factory, preset) -> Path:
    """The cache that a killed run has left."""
    place = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, preset, place / "run"],
        env={**os.environ, "TFXFER_CACHE": str(place / "cache")},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (place / "run").exists()
    return place / "cache"


@pytest.fixture
def left(killed, own_cache) -> Path:
    """A copy of what the killed run has kept of itself, in a cache of the test's own."""
    shutil.copytree(killed, own_cache)
    (place,) = (own_cache / FOLDER).iterdir()
    assert {path.name for path in place.iterdir()} == {PHASES, EPOCHS, "tensorboard"}
    return place


def begin(config, out, **how) -> str:
    """Begin a run, end it after its first epoch or phase, and give what it says."""
    said = io.StringIO()

    def stop(model):
        raise StoppedError

    with pytest.raises(StoppedError):
        run_training(config, out, Console(file=said, width=500), watch=stop, every_seconds=0, **how)
    return said.getvalue()


def test_a_killed_run_goes_on_and_comes_to_the_same(preset, left, tmp_path, monkeypatch, capsys):
    resumed = tfxfer.train(preset, out=tmp_path / "resumed")
    said = capsys.readouterr().out
    assert "goes on after phase 'head' and epoch 3 of 'fine-tune'" in said
    assert "fine-tune 3/6" not in said and "fine-tune 4/6" in said
    assert not left.exists() and "checkpoints" not in measure_others(left.parent.parent)

    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path / "other"))
    whole = tfxfer.train(preset, out=tmp_path / "whole", quiet=True)
    assert not list((tmp_path / "other" / FOLDER).iterdir())
    ours, theirs = (asdict(result) for result in (resumed, whole))
    for result in (ours, theirs):
        assert 0 < sum(phase["seconds"] for phase in result["phases"]) < result["seconds"]
        for each in (result, *result["phases"]):
            each = {name: each.pop(name) for name in list(each) if "seconds" in name}
        result["plan"].pop("notes")
        result["exported"].pop("max_difference"), result["exported"].pop("path"), result.pop("path")
    assert ours == theirs
    assert len(resumed.phases[1].history["val_accuracy"]) == resumed.phases[1].epochs == 6
    models = [keras.models.load_model(result.path / "model.keras") for result in (resumed, whole)]
    for our, their in zip(*(model.variables for model in models), strict=True):
        np.testing.assert_array_equal(our, their)
    assert [w.path for w in models[0].trainable_weights] == [
        w.path for w in models[1].trainable_weights
    ]
    # The curves are those of both processes.
    assert len(list((resumed.path / "tensorboard" / "fine-tune" / "train").iterdir())) == 2


def test_a_run_goes_on_with_the_command_line_unless_told_otherwise(preset, left, tmp_path, capsys):
    config = load_config(preset)
    assert "goes on after" not in begin(config, tmp_path / "run", fresh=True)
    assert not (left / EPOCHS).exists(), "the head alone was trained anew"

    def interrupt(model):
        raise KeyboardInterrupt

    def call():
        run_training(config, tmp_path / "run", Console(quiet=True), watch=interrupt)

    assert exit_code(call) == 130
    assert "the same command goes on after phase 'head'\n" in capsys.readouterr().err


def damage(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def reshape(path: Path) -> None:
    state = read_state(path)
    state.groups["variable"][0] = state.groups["variable"][0][..., :-1]
    write_state(path, state.groups, state.about)


def age(path: Path) -> None:
    state = read_state(path)
    write_state(path, state.groups, {**state.about, "versions": {"keras": "2.0"}})


@pytest.mark.parametrize("spoil", [damage, flip, reshape, age])
def test_what_cannot_be_used_is_left_aside_and_said(spoil, preset, left, tmp_path):
    spoil(left / EPOCHS)
    said = begin(load_config(preset), tmp_path / "run")
    assert "cannot all be used" in said and "only phase 'head' stays" in said
    assert "fine-tune 1/6" in said
    said = begin(load_config(preset), tmp_path / "run")
    assert "cannot" not in said, "it was written anew"


def test_without_the_finished_phases_a_run_starts_anew(preset, left, tmp_path):
    damage(left / PHASES)
    said = begin(load_config(preset), tmp_path / "run")
    assert "the run starts anew" in said and "goes on" not in said and "fine-tune 1" not in said


def test_other_runs_do_not_go_on_with_it(preset, left, tmp_path, picture_folder):
    others = [
        load_config(preset, settings={"seed": 1}),
        load_config(preset, data=shutil.copytree(picture_folder, tmp_path / "copy")),
    ]
    for config in others:
        assert "goes on" not in begin(config, tmp_path / "run")
    assert (left / EPOCHS).is_file() and len(list(left.parent.iterdir())) == 3


def test_two_processes_at_the_same_run_leave_each_other_alone(preset, left, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in left.iterdir()}
    with claim(left):
        assert "another process is at the same run" in begin(load_config(preset), tmp_path / "run")
        clear_others(left.parent.parent)
    assert {path: path.stat().st_mtime_ns for path in left.iterdir()} == before
    clear_others(left.parent.parent)
    assert not left.exists()


def test_what_nobody_takes_up_goes_in_the_end(preset, left, tmp_path):
    os.utime(left, (0, 0))
    begin(load_config(preset, settings={"seed": 1}), tmp_path / "run")
    assert not left.exists() and len(list(left.parent.iterdir())) == 1
