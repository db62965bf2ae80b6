"""Where a backbone's weights come from: ImageNet, the package, a file, or nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import keras
import numpy as np

from tfxfer.backbones.families import EMBEDDED_FILE, TORCH_STD, find_family
from tfxfer.config.backbone import BackboneConfig
from tfxfer.errors import InputError


def call_builder(name: str, size_px: int, alpha: float | None, weights: str | None) -> keras.Model:
    """Call a network's function of `keras.applications`, without the top."""
    arguments = {} if alpha is None else {"alpha": alpha}
    return getattr(keras.applications, name)(
        include_top=False, weights=weights, input_shape=(size_px, size_px, 3), **arguments
    )


def build_imagenet(config: BackboneConfig, size_px: int) -> keras.Model:
    """Build a headless network with the ImageNet weights that Keras downloads or has in its cache.

    Raises:
        InputError: there are none of this width, or they cannot be fetched.
    """
    family = find_family(config.name)
    if family.alphas and (config.alpha or 1.0) not in family.alphas:
        raise InputError(
            f"ImageNet weights of {config.name} exist for alpha in {family.alphas}. "
            f"Received: alpha={config.alpha}. Take one of these, or --weights none or a file."
        )
    try:
        return call_builder(config.name, size_px, config.alpha, weights="imagenet")
    # `keras.utils.get_file` raises a bare Exception when a download fails.
    except Exception as error:
        raise InputError(_offline_message(config.name, error)) from error


def load_weights(network: keras.Model, weights: str) -> None:
    """Load weights into a headless network that was built without any.

    Args:
        network: a network of `keras.applications` without its top.
        weights: ``"embedded"``, ``"none"`` or a file: ``.weights.h5`` as Keras 3 saves it, or a
            Keras Applications ``…_no_top.h5``.

    Raises:
        InputError: there is no such file, or it belongs to another network.
    """
    if weights == "embedded":
        load_file(network, Path(__file__).parent / "embedded" / EMBEDDED_FILE)
    elif weights != "none":
        load_file(network, Path(weights))
        _divide_by_deviation(network)


def _divide_by_deviation(network: keras.Model) -> None:
    """Finish the normalisation of EfficientNet's ImageNet weights.

    Their file holds the standard deviations where the layer takes variances, and Keras makes up
    for it with a layer of its own, only where it loads the file itself (tensorflow issue 49930).
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization) and hasattr(layer, "adapt_variance"):
            variance = np.array(layer.adapt_variance)
            if np.allclose(variance, TORCH_STD, atol=1e-3):
                layer.adapt_variance.assign(variance**2)
                layer.finalize_state()


def _offline_message(name: str, error: Exception) -> str:
    cache = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"
    return (
        f"The ImageNet weights of {name} could not be fetched. Tried: {str(error).strip()}\n"
        f"Without a network, do one of these: give a file with --weights FILE "
        "(.weights.h5 or .h5, without the top); put the file that Keras downloads into "
        f"{cache}; or train the preset that needs no download: "
        "python -m tfxfer.train --preset birds"
    )


def load_file(network: keras.Model, path: Path) -> None:
    """Load a file of weights; `InputError` where it is not there or of another network."""
    if not path.is_file():
        raise InputError(
            f"weights must name a file that exists. Received: weights={str(path)!r}, "
            "which is not there. Check the path, or use imagenet, none or embedded."
        )
    if path.name.endswith(".weights.h5"):
        _check_tensor_count(network, path)
    try:
        network.load_weights(path)
    # h5py raises OSError for a broken file and KeyError for a missing group; Keras raises
    # ValueError for shapes and layers that do not fit.
    except (ValueError, KeyError, OSError, TypeError, AttributeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(_mismatch_message(network, path, reason)) from error


def _check_tensor_count(network: keras.Model, path: Path) -> None:
    """Refuse a file of a larger network, which Keras would load in part without a word."""
    shapes: list[tuple[int, ...]] = []

    def collect(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer/"):
            shapes.append(item.shape)

    try:
        with h5py.File(path) as file:
            file.visititems(collect)
    except OSError as error:
        reason = f"not an HDF5 file ({error})"
        raise InputError(_mismatch_message(network, path, reason)) from error
    if sorted(shapes) != sorted(tuple(weight.shape) for weight in network.weights):
        reason = f"the file holds {len(shapes)} tensors, the network {len(network.weights)}"
        if len(shapes) == len(network.weights):
            reason = "the tensors' shapes differ"
        raise InputError(_mismatch_message(network, path, reason))


def _mismatch_message(network: keras.Model, path: Path, reason: str) -> str:
    return (
        f"weights must be those of {network.name} without its top. Received: {str(path)!r}: "
        f"{reason}. Name the network that the file was saved from with --backbone (and "
        "--set backbone.alpha=… for a MobileNet of another width)."
    )
