"""The loading of weights from a file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import keras

from tfxfer.config.backbone import WEIGHTS, BackboneConfig
from tfxfer.errors import InputError

_HDF5, _ZIP, _SNIFFED_BYTES = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", 512


def load_file(network: keras.Model, path: Path) -> None:
    """Load a file of weights into a network.

    Raises:
        InputError: The file does not exist, is damaged, or belongs to another network.
    """
    _check_file(path)
    if path.name.endswith(".weights.h5"):
        _check_tensor_count(network, path)
    try:
        network.load_weights(path)
    # h5py raises OSError for a broken file and KeyError for a missing group; Keras raises
    # ValueError for shapes and layers that do not fit.
    except (ValueError, KeyError, OSError, TypeError, AttributeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(_mismatch_message(network, path, reason)) from error


def check_weights(config: BackboneConfig) -> None:
    """Refuse a config whose file of weights cannot be one, before anything is done for it.

    Raises:
        InputError: The file does not exist, or is neither HDF5 nor a ``.keras`` archive.
    """
    if config.weights not in WEIGHTS:
        _check_file(Path(config.weights))


def _check_file(path: Path) -> None:
    if fault := _find_fault(path):
        raise InputError(
            "weights must name a file of weights that exists, a .weights.h5 or .keras as Keras "
            f"saves them. Received: weights={str(path)!r}, which {fault}, or use imagenet, none or "
            "embedded."
        )


def _find_fault(path: Path) -> str:
    """Return what is wrong with a file of weights and what to do; empty if nothing is."""
    if not path.is_file():
        return "is not there. Check the path"
    with path.open("rb") as file:
        start = file.read(_SNIFFED_BYTES)
    for signature, opened in {_HDF5: h5py.File, _ZIP: zipfile.ZipFile}.items():
        if start.startswith(signature):
            try:
                opened(path).close()  # Both formats say where a file ends.
            except (OSError, zipfile.BadZipFile):
                return "is cut off or damaged. Copy or download it again"
            return ""
    if not start:
        return "is empty. Copy or download it again"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page that was saved in its place. Download the file that the page shows"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS. Fetch the file itself with `git lfs pull`"
    return "is neither HDF5 nor a .keras archive. Save the weights with Keras's save_weights"


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
