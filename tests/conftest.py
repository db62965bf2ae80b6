"""Fixtures that tests share: pictures on disk, and the weights of a small network."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tfxfer.machine import runtime

# TensorFlow Datasets reads this when it is imported, so that the embedded birds are drawn into a
# folder of the session.
DATA_DIR = tempfile.TemporaryDirectory(prefix="tfxfer-test-")
os.environ["TFDS_DATA_DIR"] = DATA_DIR.name
# Features of frozen layers are also stored in a folder of the session.
CACHE_DIR = tempfile.TemporaryDirectory(prefix="tfxfer-test-cache-")
os.environ["TFXFER_CACHE"] = CACHE_DIR.name
runtime.import_tensorflow()

import keras
from support import tiny_net
from support.small import COLOURS, SHARED, as_it_was, small_arguments, write_classes
from tensorflow.python.framework.config import disable_op_determinism

from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.build import build_backbone
from tfxfer.cache.digest import digest
from tfxfer.config.backbone import BackboneConfig
from tfxfer.config.head import HeadConfig
from tfxfer.features.store import shards
from tfxfer.features.store.table import Table, look_up
from tfxfer.modalities.pictures.networks import families
from tfxfer.modalities.pictures.networks.applications import build_network
from tfxfer.tasks.heads import (
    DenseHead,
    build_head,
)

tiny_net.add_row(families)
tiny_net.add_builder(keras.applications)
# Processes that tests start know the tiny network too.
STARTED = str(Path(tiny_net.__file__).parent / "started")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [STARTED, os.environ.get("PYTHONPATH")]))
# Imported objects stay, so the garbage collector need not look at them between tests.
gc.freeze()
# Graphs are thousands of objects that stay, so the garbage collector rarely finds any among them.
gc.set_threshold(50_000, 50, 100)


def pytest_collection_modifyitems(items):
    """Begin with the files that hold slow tests, so that no process ends long after the others."""
    slow = {item.path for item in items if "slow" in item.keywords}
    items.sort(key=lambda item: item.path not in slow)
    missing = pytest.mark.skip(reason="needs ../shared (real weights and photographs)")
    for item in items:
        if "shared" in item.keywords and not (SHARED / "weights").is_dir():
            item.add_marker(missing)


@pytest.fixture(scope="module", autouse=True)
def _let_go():
    """Free a test module's models and graphs: those of the whole suite take many gigabytes.

    Objects that survive this stay to the end. The garbage collector need not look at them again,
    because that took seconds each time. A deterministic run sets its process to other kernels,
    which round otherwise than those of the processes that later tests start, so that is undone.
    """
    yield
    disable_op_determinism()
    keras.backend.clear_session(free_memory=False)
    gc.collect()
    gc.freeze()


@pytest.fixture
def shared() -> Path:
    """The folder with real weights and photographs."""
    return SHARED


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory) -> Path:
    """A folder with three classes of 20 pictures and no splits, which tests do not change."""
    return write_classes(tmp_path_factory.mktemp("pictures") / "photos", dict.fromkeys(COLOURS, 20))


@pytest.fixture
def own_folder(tmp_path) -> Path:
    """A folder with three classes of 6 pictures, which a test may spoil."""
    return write_classes(tmp_path / "photos", dict.fromkeys(COLOURS, 6))


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache for one test."""
    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory) -> Path:
    """Weights of the tiny network, saved as a user would save them.

    They are random. BatchNormalization's statistics are taken from pictures of noise, so that
    features of different colours differ.
    """
    return write_weights(tmp_path_factory.mktemp("weights"), "TinyNet")


@pytest.fixture(scope="session")
def mobilenet_file(tmp_path_factory) -> Path:
    """The same of MobileNet, alpha 0.25, for tests of a network of Keras Applications."""
    return write_weights(tmp_path_factory.mktemp("weights"), "MobileNet", 0.25)


def write_weights(folder: Path, name: str, alpha: float | None = None) -> Path:
    keras.utils.set_random_seed(7)
    network = build_network(name, 32, alpha)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(np.random.default_rng(0).uniform(-1, 1, (64, 32, 32, 3)), training=True)
    path = folder / "small.weights.h5"
    network.save_weights(path)
    return path


@pytest.fixture
def make_table(tmp_path):
    """A function from features to a stored table of them."""

    def make(features) -> Table:
        names = [str(index) for index in range(len(features))]
        kind = shards.Kind(digest(features.tobytes()), features.shape[1:], {})
        with shards.write_shard(tmp_path / "cache", kind, names, "float32") as append:
            append(features)
        return look_up(tmp_path / "cache", kind, names)

    return make


@pytest.fixture(scope="module")
def _tiny(weights_file) -> Backbone:
    return build_backbone(
        BackboneConfig(name="TinyNet", weights=str(weights_file), image_size_px=32)
    )


@pytest.fixture
def small_backbone(_tiny) -> Iterator[Backbone]:
    """The tiny network for pictures of 32 px, which is reset for each test."""
    with as_it_was(_tiny.network):
        yield _tiny


@pytest.fixture
def small_head() -> DenseHead:
    """A linear head for three classes."""
    return build_head(HeadConfig(), 3, seed=0)


@pytest.fixture
def small(weights_file) -> dict:
    """The arguments of `tfxfer.train` for a run of a few seconds."""
    return small_arguments(weights_file)
