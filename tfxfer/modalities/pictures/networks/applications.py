"""Networks of Keras Applications, and the sources of their weights."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np

from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.blocks import list_blocks
from tfxfer.backbones.weights import load_file
from tfxfer.config.backbone import BackboneConfig
from tfxfer.errors import InputError, first_line
from tfxfer.machine.network import describe_network
from tfxfer.modalities.pictures.networks.families import EMBEDDED_FILE, NETWORKS, Family
from tfxfer.modalities.pictures.networks.preprocessing import PREPROCESSINGS, TORCH_STD
from tfxfer.modalities.pictures.settings import input_spec


def build_application(config: BackboneConfig) -> Backbone:
    """Build the network of Keras Applications that a config names, with its weights loaded.

    Raises:
        InputError: The network, or its size or width, is unknown, or the weights cannot be
            had or that belong to another network.
    """
    family = NETWORKS[config.name]
    size_px = config.image_size_px or family.sizes_px[config.name]
    if size_px < family.min_size_px:
        raise InputError(
            f"image_size_px must be at least {family.min_size_px} for {config.name}. "
            f"Received: image_size_px={size_px}."
        )
    if config.weights == "imagenet":
        network = build_imagenet(config, size_px)
    else:
        network = build_network(config.name, size_px, config.alpha)
        load_weights(network, config.weights)
    return wrap_network(network, family, size_px)


def wrap_network(network: keras.Model, family: Family, size_px: int) -> Backbone:
    """Return a headless network of a family as a backbone, with its blocks and preprocessing."""
    preprocessing = PREPROCESSINGS[family.preprocessing]
    return Backbone(network, list_blocks(network, family), preprocessing, input_spec(size_px))


def build_network(name: str, size_px: int, alpha: float | None = None) -> keras.Model:
    """Build a headless Keras Applications network with random weights.

    Args:
        name: A network of `families.NETWORKS`.
        size_px: The side of its input pictures in pixels.
        alpha: The width multiplier, for the MobileNet families only.

    Raises:
        InputError: The network does not take this size or width.
    """
    try:
        return call_builder(name, size_px, alpha, weights=None)
    except ValueError as error:
        raise InputError(
            f"{name} cannot be built like this. Received: image_size_px={size_px}, alpha={alpha} "
            f"({first_line(error)}). Take its default size and width."
        ) from error


def call_builder(name: str, size_px: int, alpha: float | None, weights: str | None) -> keras.Model:
    """Call a network's function of `keras.applications`, without the top."""
    arguments = {} if alpha is None else {"alpha": alpha}
    return getattr(keras.applications, name)(
        include_top=False, weights=weights, input_shape=(size_px, size_px, 3), **arguments
    )


def build_imagenet(config: BackboneConfig, size_px: int) -> keras.Model:
    """Build a headless network with the ImageNet weights that Keras downloads or has in its cache.

    Raises:
        InputError: There are no weights for this width, or they cannot be fetched.
    """
    family = NETWORKS[config.name]
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
    """Load weights into a headless network that has random ones.

    Args:
        network: A network of `keras.applications` without its top.
        weights: ``"embedded"``, ``"none"`` or a file: a ``.weights.h5`` that Keras 3 saved, or a
            ``…_no_top.h5`` of Keras Applications.

    Raises:
        InputError: There is no such file, or it belongs to another network.
    """
    if weights == "embedded":
        load_file(network, Path(__file__).parent / "embedded" / EMBEDDED_FILE)
    elif weights != "none":
        load_file(network, Path(weights))
        _divide_by_deviation(network)


def _divide_by_deviation(network: keras.Model) -> None:
    """Finish the normalisation of EfficientNet's ImageNet weights.

    Their file holds standard deviations where the layer expects variances. Keras corrects this by
    another layer, but only if it loads the file itself (tensorflow issue 49930).
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
        f"{describe_network()}Without a network, do one of these: give a file with --weights FILE "
        "(.weights.h5 or .h5, without the top); put the file that Keras downloads into "
        f"{cache}; or train the preset that needs no download: "
        "python -m tfxfer.train --preset birds"
    )
