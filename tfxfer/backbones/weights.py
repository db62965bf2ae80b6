"""The loading of weights from a file."""

from __future__ import annotations

from pathlib import Path

import h5py
import keras

from tfxfer.errors import InputError


def load_file(network: keras.Model, path: Path) -> None:
    """Load a file of weights into a network.

    Raises:
        InputError: The file does not exist, or belongs to another network.
    """
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
    """Refuse a file of a larger network, from which Keras would silently load a part."""
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
