"""A small run on one or more devices or processes, and the comparison of two such runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.small import COLOURS, write_classes

# XLA need not optimise programs that run only for moments. Its older emitters of loops take a
# fraction of the time of those that it takes by default.
_FLAGS = ("--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false")
QUICKLY = os.environ | {"XLA_FLAGS": " ".join(_FLAGS)}

# There is no dropout, because each of TensorFlow's replicas would draw its own masks.
SETTINGS = {
    "backbone.image_size_px": 32,
    "head.levels": 1,
    "head.dropout": 0.0,
    "phases.fine-tune.epochs": 6,
    "phases.fine-tune.learning_rate": 0.003,
    "phases.fine-tune.precision": "float32",
    "phases.fine-tune.unfreeze": 2,
    "phases.fine-tune.views": 1,
}

# This program runs commands of `tfxfer` in one process, because importing takes longer than most of
# them. Then it does runs by strategy on two virtual devices, without their exports. It prints the
# commands' exit codes and messages.
PROGRAM = """
import contextlib, io, json, os, sys
from dataclasses import asdict
from pathlib import Path
backend, commands, strategies, given, out = json.load(sys.stdin)
os.environ |= {"KERAS_BACKEND": backend, "COLUMNS": "1000"}
os.environ["XLA_FLAGS"] += " --xla_force_host_platform_device_count=2"
from tfxfer.machine import runtime
runtime.import_tensorflow()
import tensorflow as tf
if backend == "tensorflow":
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tfxfer.commands.main import main
from tfxfer.machine.strategy import spread
from tfxfer.backbones.whole import build_model
from tfxfer.training.job import prepare
from tfxfer.evaluation.final import calibrate, judge
from tfxfer.machine.compiled import compile_model
from tfxfer.modality import InputSpec
from tfxfer.config.presets import load_config
from tfxfer.report.console import make_console
from tfxfer.training.phase import train_phases
from tfxfer.training.resume.keeper import Keeper
ends = []
for command in commands:
    messages = io.StringIO()
    with contextlib.redirect_stderr(messages), contextlib.redirect_stdout(messages):
        ends.append([main(command)])
    ends[-1].append(messages.getvalue())
config, quiet = load_config("photos", **given), make_console(True)
assert spread("single").devices == 1
for strategy in strategies:
    share = spread(strategy)
    with share.scope():
        job = prepare(config, quiet, share=share)
        model = build_model(job.backbone, job.head)
        keeper = Keeper(None, job.features, 0.0)
        told = []
        phases = train_phases(
            job, model, keeper=keeper, staging=Path(out) / strategy, tell=told.append
        )
        calibrated = calibrate(model, job.items, told[-1])
        call, spec = compile_model(model), InputSpec.of(model)
        validation, test, _ = judge(call, spec, job.items, calibrated, share=share)
    figures = {"devices": share.devices, "phases": list(map(asdict, phases))}
    for name, evaluation in {"val": validation, "test": test}.items():
        figures |= {f"{name}.{key}": value for key, value in asdict(evaluation).items()}
    Path(out, f"{strategy}.json").write_text(json.dumps(figures))
print(json.dumps(ends))
"""


def write_splits(folder: Path) -> Path:
    """Write pictures for two processes; only the training split has an even number of them."""
    for split, counts in {"train": (14, 14, 14), "val": (4, 4, 3), "test": (5, 4, 4)}.items():
        write_classes(folder / split, dict(zip(COLOURS, counts, strict=True)))
    return folder


def run_spread(backend, folder, pictures, weights_file, batch_size, strategies, commands=()):
    """Run `PROGRAM`.

    Returns:
        The exit codes and messages of the commands, and the figures by strategy.
    """
    network = {"data": str(pictures), "backbone": "TinyNet", "weights": str(weights_file)}
    # Each backend has an engine of its name.
    settings = SETTINGS | {"data.batch_size": batch_size, "features.engine": backend}
    given = {**network, "settings": settings}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([backend, commands, strategies, given, str(folder)]),
        env=QUICKLY, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = {name: json.loads((folder / f"{name}.json").read_text()) for name in strategies}
    return json.loads(done.stdout.splitlines()[-1]), figures


def assert_alike(ours, theirs):
    """Check that the figures of two runs are equal up to rounding."""
    for one, other in zip(ours["phases"], theirs["phases"], strict=True):
        assert one["val_cross_entropy"] == pytest.approx(other["val_cross_entropy"], rel=2e-3)
        for name, values in other["history"].items():
            np.testing.assert_allclose(one["history"][name], values, rtol=2e-3, atol=1e-6)
    for split, count in {"val": 11, "test": 13}.items():
        assert ours[f"{split}.pictures"] == theirs[f"{split}.pictures"] == count
        assert sum(each for *_, each in ours[f"{split}.confusion"]) == count
        assert ours[f"{split}.confusion"] == theirs[f"{split}.confusion"]
        ours_lost, theirs_lost = (each[f"{split}.cross_entropy"] for each in (ours, theirs))
        assert ours_lost == pytest.approx(theirs_lost, rel=2e-3)
