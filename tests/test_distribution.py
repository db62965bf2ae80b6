"""Several devices and processes give what one device gives, and each picture counts once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from conftest import COLOURS, write_classes

from tfxfer.distribution import ALONE, Share, check_splits, divide_batch
from tfxfer.errors import InputError

# What is compiled here runs for moments.
QUICKLY = os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LAUNCH = [sys.executable, os.path.join(ROOT, "tools", "launch_local.py"), "-n", "2", "--"]

# Without dropout, whose masks each of TensorFlow's replicas draws for itself.
SETTINGS = {
    "backbone.alpha": 0.25,
    "backbone.image_size_px": 32,
    "head.levels": 1,
    "head.dropout": 0.0,
    "phases.fine-tune.epochs": 6,
    "phases.fine-tune.learning_rate": 0.003,
    "phases.fine-tune.precision": "float32",
    "phases.fine-tune.unfreeze": 3,
    "phases.fine-tune.views": 1,
}

# A run on one of two virtual devices, and one on both, in one process: all but their exports.
PROGRAM = """
import json, os, sys
from dataclasses import asdict
from pathlib import Path
backend, pictures, weights, out, settings = json.load(sys.stdin)
os.environ["KERAS_BACKEND"] = backend
os.environ["XLA_FLAGS"] += " --xla_force_host_platform_device_count=2"
from tfxfer import runtime
runtime.import_tensorflow()
import tensorflow as tf
if backend == "tensorflow":
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tfxfer.distribution import spread
from tfxfer.heads import build_model
from tfxfer.job import prepare
from tfxfer.judge import judge
from tfxfer.presets import load_config
from tfxfer.report.console import make_console
from tfxfer.training import train_phases
config = load_config(
    "photos", data=pictures, backbone="MobileNet", weights=weights, settings=settings
)
quiet = make_console(True)
for strategy in ("single", "auto"):
    share = spread(strategy)
    with share.scope():
        job = prepare(config, quiet, share=share)
        model = build_model(job.layers.backbone, job.layers.head)
        phases = train_phases(job, model, Path(out) / strategy, quiet)
        validation, test, _ = judge(model, job.pictures, True, share)
    figures = {"devices": share.devices, "phases": list(map(asdict, phases))}
    for name, evaluation in {"val": validation, "test": test}.items():
        figures |= {f"{name}.{key}": value for key, value in asdict(evaluation).items()}
    Path(out, f"{strategy}.json").write_text(json.dumps(figures))
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Enough for both; each split has an odd number of pictures, and training an even one."""
    folder = tmp_path_factory.mktemp("split")
    for split, counts in {"train": (14, 14, 14), "val": (4, 4, 3), "test": (5, 4, 4)}.items():
        write_classes(folder / split, dict(zip(COLOURS, counts, strict=True)))
    return folder


def run_on_two_devices(backend, folder, pictures, weights_file, batch_size):
    settings = SETTINGS | {"data.batch_size": batch_size}
    given = [backend, str(pictures), str(weights_file), str(folder), settings]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(given), env=QUICKLY, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in ("single", "auto")}


def assert_alike(ours, theirs):
    """The same figures, but for rounding."""
    for one, other in zip(ours["phases"], theirs["phases"], strict=True):
        assert one["val_cross_entropy"] == pytest.approx(other["val_cross_entropy"], rel=2e-3)
        for name, values in other["history"].items():
            np.testing.assert_allclose(one["history"][name], values, rtol=2e-3, atol=1e-6)
    for split, count in {"val": 11, "test": 13}.items():
        assert ours[f"{split}.pictures"] == theirs[f"{split}.pictures"] == count
        assert sum(map(sum, ours[f"{split}.confusion"])) == count
        assert ours[f"{split}.confusion"] == theirs[f"{split}.confusion"]
        ours_lost, theirs_lost = (each[f"{split}.cross_entropy"] for each in (ours, theirs))
        assert ours_lost == pytest.approx(theirs_lost, rel=2e-3)


@pytest.mark.slow
def test_two_mirrored_devices_give_what_one_gives(tmp_path, pictures, weights_file):
    metrics = run_on_two_devices("tensorflow", tmp_path, pictures, weights_file, 8)
    assert (metrics["single"]["devices"], metrics["auto"]["devices"]) == (1, 2)
    assert_alike(metrics["auto"], metrics["single"])


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory, pictures, weights_file):
    folder = tmp_path_factory.mktemp("jax")
    # All training pictures are one batch: which of them come together is no question then.
    return run_on_two_devices("jax", folder, pictures, weights_file, 42)


@pytest.mark.slow
def test_two_devices_on_jax_give_what_one_gives(on_jax):
    assert (on_jax["single"]["devices"], on_jax["auto"]["devices"]) == (1, 2)
    assert_alike(on_jax["auto"], on_jax["single"])


@pytest.mark.slow
def test_two_processes_go_on_after_one_was_killed_and_give_what_one_gives(
    on_jax, tmp_path, pictures, weights_file
):
    settings = SETTINGS | {"data.batch_size": 42}
    chosen = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command = [
        *LAUNCH, "--preset", "photos", "--data", str(pictures), "--backbone", "MobileNet",
        "--weights", str(weights_file), *chosen, "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    environment = QUICKLY | {"TFXFER_CACHE": str(tmp_path / "cache")}
    with (
        open(tmp_path / "errors", "w+") as errors,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as launched,
    ):
        for line in launched.stdout:
            if "✓ head" in line:
                break
        _, second = sorted(psutil.Process(launched.pid).children(), key=lambda each: each.pid)
        second.send_signal(signal.SIGKILL)
        started = time.monotonic()
        assert launched.wait(timeout=60) == 1
        assert time.monotonic() - started < 30
        errors.seek(0)
        assert "Received: process 1 ended with signal 9" in errors.read()
    assert not (tmp_path / "run").exists()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "goes on after phase 'head'" in done.stdout
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert_alike(metrics, on_jax["single"])


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


def test_alone_a_process_has_everything():
    values = np.arange(6).reshape(3, 2)
    assert ALONE.is_first
    assert ALONE.gather(values) is values
    assert ALONE.total(3) == 3
    assert not ALONE.agree(False)


def test_processes_need_jax(tmp_path, pictures, capsys):
    from tfxfer.cli import main

    given = ["--preset", "photos", "--data", str(pictures), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["train", *given, "--distributed"]))
    assert ended.value.code == 2
    assert "Set KERAS_BACKEND=jax" in capsys.readouterr().err
