"""Functions that tests share: pictures on disk, networks without values, a short run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest
from PIL import Image

from tfxfer.modalities.pictures.networks.applications import build_network
from tfxfer.modalities.pictures.networks.families import NETWORKS

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
COLOURS = {"amber": (230, 150, 30), "blue": (40, 80, 200), "green": (50, 160, 60)}


@contextmanager
def as_it_was(network: keras.Model) -> Iterator[None]:
    """Give a network its weights back in the end, and its layers their `trainable`."""
    layers = [(layer, layer.trainable) for layer in network._flatten_layers()]
    weights = [(weight, weight.numpy()) for weight in network.weights]
    yield
    for layer, is_trainable in layers:  # The network, whose flag sets all the others, comes first.
        layer.trainable = is_trainable
    for weight, value in weights:
        weight.assign(value)


def run_model(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    """What a model gives for pictures; no graph is traced for it, as `predict` would."""
    return model(np.asarray(pictures, np.float32), training=False).numpy()


def small_size_px(name: str) -> int:
    """Return the smallest picture that a network is built for; its weights do not depend on it."""
    family = NETWORKS[name]
    return family.sizes_px[name] if family.name == "NASNet" else family.min_size_px


def outline_network(name: str, size_px: int, alpha: float | None = None) -> keras.Model:
    """Build a network whose weights have shapes but no values, which is quick."""
    with keras.StatelessScope(initialize_variables=False):
        network = build_network(name, size_px, alpha)
    # Without this, Keras gives all of them values when it next leaves such a scope.
    keras.backend.clear_session(free_memory=False)
    return network


@cache
def outline(name: str) -> keras.Model:
    """Return a network whose weights have no values, built once for all tests."""
    return outline_network(name, small_size_px(name))


def random_weights(network: keras.Model) -> keras.StatelessScope:
    """Return a scope in which the weights of an outline have the values that a new network has."""
    return keras.StatelessScope([(weight, weight.value) for weight in network.weights])


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory at a new folder, such as ``size=8k``, inside the block."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def draw_picture(name: str, seed: int, side: int = 48) -> Image.Image:
    """Return a picture of the class's colour with noise, so that classes are easy to learn."""
    generator = np.random.default_rng(seed)
    pixels = np.array(COLOURS[name]) + generator.normal(0, 25, (side, side + 8, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def load_tool(name: str) -> ModuleType:
    """Import a script of `tools/` as a module."""
    path = ROOT / "tools" / f"{name}.py"
    if str(path.parent) not in sys.path:  # Tools import each other.
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Dataclasses look their module up there.
    spec.loader.exec_module(module)
    return module


def write_classes(folder: Path, counts: dict[str, int], first_seed: int = 0) -> Path:
    """Write class folders of JPEG pictures."""
    for position, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            seed = first_seed + 1000 * position + index
            draw_picture(name, seed).save(folder / name / f"{index:03d}.jpg")
    return folder


def small_arguments(weights_file: Path, **settings: object) -> dict:
    """Return arguments of `tfxfer.train` for a run of a few seconds that times no alternatives.

    Args:
        weights_file: The weights of the tiny network.
        settings: Other values by key, in which ``__`` stands for the dot.
    """
    return {
        "backbone": "TinyNet",
        "weights": weights_file,
        "settings": {
            "backbone.image_size_px": 32,
            "data.batch_size": 8,
            "features.engine": "tensorflow",
            "head.levels": 1,
            "phases.head.epochs": 2,
            "phases.fine-tune.epochs": 1,
            "phases.fine-tune.precision": "float32",
            "phases.fine-tune.views": 1,
            "phases.fine-tune.unfreeze": 3,
            **{key.replace("__", "."): value for key, value in settings.items()},
        },
        "quiet": True,
    }
