"""What trains is found on both backends, and GPUs are set up before they are used."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import pytest
import tensorflow as tf

from tfxfer import runtime
from tfxfer.devices import Device, find_device, share_gpus
from tfxfer.errors import InputError
from tfxfer.phases.precision import PRECISIONS, check_precision, list_candidates

GPU = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs as TensorFlow would show them."""
    lists = {"GPU": [GPU, GPU]}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: lists.get(kind, []))
    details = {"device_name": "NVIDIA T4", "compute_capability": (7, 5)}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: details)


@pytest.fixture
def on_jax(monkeypatch):
    """Keras as it is on JAX, as far as anything asks for its backend's name."""
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    return pytest.importorskip("jax")


def test_a_machine_without_gpus_trains_on_its_cpu():
    assert find_device().kind == "cpu"
    assert runtime.describe_device().startswith("CPU: ")
    assert not runtime.has_gpu()


def test_gpus_of_tensorflow_have_names_and_a_capability(gpus):
    assert find_device() == Device("gpu", "NVIDIA T4", 2, (7, 5))
    assert runtime.describe_device() == "GPU: 2 × NVIDIA T4"
    assert runtime.has_gpu()


def test_jax_is_asked_where_it_trains(on_jax):
    assert find_device().kind == "cpu"
    assert not runtime.has_gpu()


@pytest.mark.parametrize(
    ("platform", "fields", "capability"),
    [
        ("gpu", {"compute_capability": "9.0"}, (9, 0)),
        ("gpu", {"compute_capability": "gfx942"}, None),
        ("tpu", {}, None),
    ],
)
def test_accelerators_of_jax(monkeypatch, on_jax, platform, fields, capability):
    device = SimpleNamespace(platform=platform, device_kind="fast", **fields)
    monkeypatch.setattr(on_jax, "devices", lambda: [device])
    assert find_device() == Device(platform, "fast", 1, capability)
    assert runtime.has_gpu()


def test_tensorflow_takes_a_gpu_s_memory_as_it_needs_it(monkeypatch, gpus):
    growing = []
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda *given: growing.append(given)
    )
    share_gpus()
    assert growing == [(GPU, True), (GPU, True)]


def test_gpus_that_are_in_use_stay_as_they_are(monkeypatch, gpus):
    def refuse(*_):
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", refuse)
    share_gpus()


def test_tensorflow_leaves_gpus_to_jax(monkeypatch, gpus, on_jax):
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
    assert list_candidates(Device("cpu", "some")) == ("float32", "mixed_bfloat16")
    with pytest.raises(InputError, match=r"bfloat16_rewrite.*Received.*KERAS_BACKEND=jax"):
        check_precision("bfloat16_rewrite")
    for precision in set(PRECISIONS) - {"bfloat16_rewrite"}:
        check_precision(precision)
