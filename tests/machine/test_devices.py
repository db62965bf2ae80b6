"""Tests that devices are found on both backends, and GPUs are set up before they are used."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from tensorflow.python.framework.config import (
    disable_op_determinism,
    is_op_determinism_enabled,
)

from tfxfer.config.phases import PRECISIONS
from tfxfer.config.presets import load_config
from tfxfer.errors import InputError
from tfxfer.features import engines
from tfxfer.machine import runtime
from tfxfer.machine.compiled import exact_float32
from tfxfer.machine.devices import Device, find_device, share_gpus
from tfxfer.machine.processes import ALONE
from tfxfer.phases.memory import memory_errors
from tfxfer.phases.parts import Watch
from tfxfer.phases.precision import check_precision, list_candidates
from tfxfer.search.workers import check_workers
from tfxfer.training.job import prepare
from tfxfer.training.phase import Turn, train_phase

GPU = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs as TensorFlow would list them."""
    lists = {"GPU": [GPU, GPU]}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: lists.get(kind, []))
    details = {"device_name": "NVIDIA T4", "compute_capability": (7, 5)}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: details)


@pytest.fixture
def on_jax(monkeypatch):
    """A function that pretends Keras is on JAX, with given devices and the error of a full one."""

    def use(*shown):
        class JaxRuntimeError(RuntimeError):
            pass

        jax = SimpleNamespace(
            devices=lambda: list(shown), errors=SimpleNamespace(JaxRuntimeError=JaxRuntimeError)
        )
        monkeypatch.setitem(sys.modules, "jax", jax)
        monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
        return jax

    return use


def test_a_machine_without_gpus_trains_on_its_cpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    assert find_device().kind == "cpu"
    assert runtime.describe_device().startswith("CPU: ")
    assert not runtime.has_accelerator()


def test_gpus_of_tensorflow_have_names_and_a_capability(gpus):
    assert find_device() == Device("gpu", "NVIDIA T4", 2, (7, 5))
    assert runtime.describe_device() == "GPU: 2 × NVIDIA T4"
    assert runtime.has_accelerator()


def test_a_tpu_is_for_one_process(on_jax):
    on_jax(SimpleNamespace(platform="tpu", device_kind="TPU v5 lite"))
    check_workers(1)
    with pytest.raises(InputError, match=r"--workers 2 on TPU: TPU v5 lite\. Leave --workers out"):
        check_workers(2)
    on_jax(SimpleNamespace(platform="gpu", device_kind="NVIDIA L4"))
    check_workers(2)


def test_jax_is_asked_where_it_trains(on_jax):
    on_jax(SimpleNamespace(platform="cpu", device_kind="cpu"))
    assert find_device().kind == "cpu"
    assert not runtime.has_accelerator()


@pytest.mark.parametrize(
    ("platform", "fields", "capability"),
    [
        ("gpu", {"compute_capability": "9.0"}, (9, 0)),
        ("gpu", {"compute_capability": "gfx942"}, None),
        ("tpu", {}, None),
    ],
)
def test_accelerators_of_jax(on_jax, platform, fields, capability):
    on_jax(SimpleNamespace(platform=platform, device_kind="fast", **fields))
    assert find_device() == Device(platform, "fast", 1, capability)
    assert runtime.has_accelerator()


def test_tensorflow_takes_a_gpu_s_memory_as_it_needs_it(monkeypatch, gpus):
    growing = []
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda *given: growing.append(given)
    )
    share_gpus()
    assert growing == [(GPU, True), (GPU, True)]


def test_gpus_that_are_in_use_stay_as_they_are(monkeypatch, gpus):
    asked = []

    def refuse(*given):
        asked.append(given)
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", refuse)
    monkeypatch.setattr(tf.config, "set_visible_devices", refuse)
    share_gpus()
    assert asked == [(GPU, True)], "one refusal is enough, and nothing else is tried"


def test_tensorflow_leaves_gpus_to_jax(monkeypatch, gpus, on_jax):
    on_jax()
    visible = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *given: visible.append(given))
    share_gpus()
    assert visible == [([], "GPU")]


@pytest.mark.parametrize(
    ("kind", "capability", "expected"),
    [
        ("cpu", None, ("float32", "bfloat16_rewrite", "mixed_bfloat16")),
        ("gpu", (6, 1), ("float32",)),
        ("gpu", (7, 0), ("float32", "mixed_float16")),
        ("gpu", (8, 0), ("float32", "mixed_float16", "mixed_bfloat16")),
        ("gpu", (12, 0), ("float32", "mixed_float16", "mixed_bfloat16")),
        ("gpu", None, ("float32",)),
        ("tpu", None, ("mixed_bfloat16",)),
    ],
)
def test_auto_considers_what_a_device_is_fast_in(kind, capability, expected):
    assert list_candidates(Device(kind, "some", 1, capability)) == expected


def test_tensorflow_s_rewrite_is_tensorflow_s_alone(on_jax):
    on_jax()
    assert list_candidates(Device("cpu", "some")) == ("float32", "mixed_bfloat16")
    with pytest.raises(InputError, match=r"bfloat16_rewrite.*Received.*KERAS_BACKEND=jax"):
        check_precision("bfloat16_rewrite")
    for precision in set(PRECISIONS) - {"bfloat16_rewrite"}:
        check_precision(precision)


def test_memory_that_runs_out_is_known_by_what_each_backend_says(on_jax):
    error = on_jax().errors.JaxRuntimeError
    full = (
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
        tf.errors.InternalError(None, None, "Dst tensor is not initialized."),
        error("RESOURCE_EXHAUSTED: Out of memory allocating 4503599627370496 bytes."),
    )
    for raised in full:
        with pytest.raises(InputError, match=r"data\.batch_size=16"), memory_errors(32):
            raise raised
    others = (tf.errors.InternalError(None, None, "no kernel"), error("INTERNAL: no"), OSError())
    for raised in others:
        with pytest.raises(type(raised)), memory_errors(32):
            raise raised


def test_deterministic_trainings_come_to_equal_weights(
    monkeypatch, picture_folder, small, tmp_path
):
    monkeypatch.setenv("XLA_FLAGS", "")
    by_attempt = {"features.engine": "auto", "phases.fine-tune.precision": "auto"}
    asked = {"deterministic": True, "phases.head.solver": "adamw"}
    settings = {**small["settings"], **by_attempt, **asked}
    config = load_config(
        "photos",
        data=picture_folder,
        backbone=small["backbone"],
        weights=small["weights"],
        settings=settings,
    )
    weights = []
    try:
        for _ in range(2):
            job = prepare(config, Console(quiet=True), share=ALONE)
            # Timings vary, so the first candidate is taken, and only its features are checked.
            assert job.features.recorder.engine_name == engines.list_candidates()[0]
            result = train_phase(Turn(job, 0, (), Watch(tmp_path, Console(quiet=True))))
            weights.append(job.head.layers[-1].get_weights())
        assert is_op_determinism_enabled()
    finally:
        disable_op_determinism()
    assert "--xla_gpu_deterministic_ops=true" in os.environ["XLA_FLAGS"]
    assert (result.solver, job.phases[1].precision) == ("adamw", "float32")
    for weight, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(weight, other)


def test_what_is_compared_is_multiplied_in_float32(monkeypatch):
    rounds = tf.config.experimental.tensor_float_32_execution_enabled
    assert rounds()
    with pytest.raises(ValueError, match="differs"), exact_float32():
        assert not rounds()
        raise ValueError("differs")
    assert rounds()

    import jax

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    pictures, kernel = np.ones((1, 4, 4, 3), np.float32), np.ones((3, 3, 3, 8), np.float32)

    def read_precision() -> str:
        program = jax.jit(lambda x, w: jax.lax.conv(x, w, (1, 1), "SAME"))
        return program.lower(pictures.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1)).as_text()

    assert "HIGHEST" not in read_precision()
    with exact_float32():
        assert "HIGHEST" in read_precision()
    assert "HIGHEST" not in read_precision()
