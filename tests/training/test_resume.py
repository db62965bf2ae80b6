"""Tests that a killed run goes on where it was, with the same result."""

from __future__ import annotations

import io
import json
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
from support.small import small_arguments

from tfxfer.cache.folder import measure_others
from tfxfer.commands.train import main
from tfxfer.config.presets import dump_config, load_config
from tfxfer.phases.state import read_state, write_state
from tfxfer.training.resume.checkpoint import EPOCHS, PHASES, read_checkpoint
from tfxfer.training.resume.place import FOLDER
from tfxfer.training.train import run_training

pytestmark = pytest.mark.slow

DONE, EPOCH_COUNT = 2, 4
# This program kills itself after an epoch of fine-tuning; the head's phase calls `watch`, too.
KILLED = f"""
import os, signal, sys
from pathlib import Path
from tfxfer.machine import runtime
runtime.import_tensorflow()
from tfxfer.config.presets import load_config
from tfxfer.report.console import make_console
from tfxfer.training.train import run_training
calls = []
def watch(model):
    calls.append(model)
    if len(calls) == 1 + {DONE}:
        os.kill(os.getpid(), signal.SIGKILL)
config, out = load_config(sys.argv[1]), Path(sys.argv[2])
run_training(config, out, make_console(True), watch=watch, every_seconds=0)
"""


class StoppedError(Exception):
    """An error that ends a run and that nothing in it raises."""


@pytest.fixture(scope="module")
def preset(tmp_path_factory, picture_folder, weights_file) -> Path:
    """A preset with a head phase and a phase with much randomness: views, MixUp, dropout."""
    fine_tune = {"epochs": EPOCH_COUNT, "views": 2, "mixup": 0.4}
    chosen = {f"phases__fine-tune__{key}": value for key, value in fine_tune.items()}
    arguments = small_arguments(weights_file, calibrate=False, **chosen)
    del arguments["quiet"]
    path = tmp_path_factory.mktemp("presets") / "small.toml"
    path.write_text(dump_config(load_config("photos", data=picture_folder, **arguments)))
    return path


@pytest.fixture(scope="module")
def killed(tmp_path_factory, preset) -> Path:
    """The cache that a killed run left."""
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
    """A copy of the killed run's checkpoint, in a cache for one test."""
    shutil.copytree(killed, own_cache)
    (place,) = (own_cache / FOLDER).iterdir()
    assert {path.name for path in place.iterdir()} == {PHASES, EPOCHS, "tensorboard"}
    return place


def run_until(calls: int, preset: Path, out: Path, **how) -> tuple[str, list[np.ndarray]]:
    """End a run after so many epochs and phases; return its messages and its weights then."""
    said, weights = io.StringIO(), []
    left = iter(range(calls - 1, -1, -1))

    def watch(model):
        if not next(left):
            weights.extend(model.get_weights())
            raise StoppedError

    console = Console(file=said, width=500)
    with pytest.raises(StoppedError):
        run_training(load_config(preset), out, console, watch=watch, every_seconds=0, **how)
    return said.getvalue(), weights


@pytest.fixture
def whole(killed, preset, tmp_path, monkeypatch):
    """The phases, weights and messages of the same run without a break, from the beginning."""
    cache = shutil.copytree(killed, tmp_path / "other")
    with monkeypatch.context() as patch:
        patch.setenv("TFXFER_CACHE", str(cache))
        said, weights = run_until(2 + EPOCH_COUNT, preset, tmp_path / "whole", fresh=True)
    (place,) = (cache / FOLDER).iterdir()
    return read_checkpoint(place).phases, weights, said


def test_a_killed_run_goes_on_and_comes_to_the_same(preset, left, whole, tmp_path, capsys):
    phases, weights, said = whole
    assert "goes on" not in said and "fine-tune 1/4" in said, "--fresh"

    assert main(["--preset", str(preset), "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "goes on after phase 'head' and epoch 2 of 'fine-tune'" in said
    assert "fine-tune 2/4" not in said and "fine-tune 3/4" in said
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert any("goes on after" in note for note in metrics["notes"])
    assert len(metrics["phases"][1]["history"]["loss"]) == EPOCH_COUNT
    assert 0 < sum(phase["seconds"] for phase in metrics["phases"]) < metrics["seconds"]
    for ours, theirs in zip(metrics["phases"], map(asdict, phases), strict=True):
        for name, value in theirs.items():
            if "seconds" not in name:
                assert ours[name] == (list(value) if isinstance(value, tuple) else value), name
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    for ours, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)

    # The curves of both processes are kept, and nothing else of the stopped run.
    assert len(list((tmp_path / "run/tensorboard/fine-tune/train").iterdir())) == 2
    assert not left.exists() and "checkpoints" not in measure_others(left.parent.parent)


def test_a_phase_starts_anew_where_its_state_is_of_another_model(preset, left, tmp_path):
    state = read_state(left / EPOCHS)
    state.groups["optimizer"].pop()
    write_state(left / EPOCHS, state.groups, state.about)
    said, _ = run_until(1, preset, tmp_path / "run")
    assert "other shapes" in said and "only phase 'head' stays" in said
    assert "fine-tune 1/4" in said
    assert read_checkpoint(left).begun.epochs == 1, "it is kept anew"
