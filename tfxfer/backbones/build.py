"""Build a backbone with its preprocessing, so that it takes pictures as they are: 0…255 RGB."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from tfxfer.backbones.blocks import Block, list_blocks
from tfxfer.backbones.families import (
    CAFFE_MEAN_BGR,
    PREPROCESSINGS,
    TORCH_MEAN,
    TORCH_STD,
    Family,
    find_family,
)
from tfxfer.backbones.weights import build_imagenet, call_builder, load_weights
from tfxfer.config import BackboneConfig
from tfxfer.errors import InputError, first_line


@dataclass(frozen=True)
class Backbone:
    """A headless network, its blocks and what it expects of its input.

    Attributes:
        network: `keras.Model` from preprocessed pictures ``[batch, size, size, 3]`` float32 to a
            feature map ``[batch, h, w, channels]``.
        blocks: its blocks from input to output.
        family: its row in the table of families.
        size_px: side of its input pictures in pixels.
    """

    network: keras.Model
    blocks: tuple[Block, ...]
    family: Family
    size_px: int


def build_backbone(config: BackboneConfig) -> Backbone:
    """Build the network that a config names, with its weights loaded.

    Raises:
        InputError: unknown network, size or width that it does not take, weights that cannot be
            had or that belong to another network.
    """
    family = find_family(config.name)
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
    return Backbone(network, list_blocks(network, family), family, size_px)


def build_network(name: str, size_px: int, alpha: float | None = None) -> keras.Model:
    """Build a headless Keras Applications network with random weights.

    Args:
        name: a network of `families.NETWORKS`.
        size_px: side of its input pictures in pixels.
        alpha: width multiplier, for the MobileNet families only.

    Raises:
        InputError: the network does not take this size or width.
    """
    try:
        return call_builder(name, size_px, alpha, weights=None)
    except ValueError as error:
        raise InputError(
            f"{name} cannot be built like this. Received: image_size_px={size_px}, alpha={alpha} "
            f"({first_line(error)}). Take its default size and width."
        ) from error


def apply_preprocessing(pictures: keras.KerasTensor, preprocessing: str) -> keras.KerasTensor:
    """Apply a network's own preprocessing inside the model.

    Standing in the model and not in the input pipeline, it cannot differ between training and
    serving.

    Args:
        pictures: ``[batch, height, width, 3]`` float32, RGB, 0…255.
        preprocessing: a key of `families.PREPROCESSINGS`.
    """
    if preprocessing == "inside":
        return pictures
    if preprocessing == "tf":
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(pictures)
    if preprocessing == "torch":
        scale = [1 / (255 * std) for std in TORCH_STD]
        offset = [-mean / std for mean, std in zip(TORCH_MEAN, TORCH_STD, strict=True)]
        return keras.layers.Rescaling(scale, offset=offset, name="preprocessing")(pictures)
    if preprocessing == "caffe":
        bgr = keras.ops.flip(pictures, axis=-1)
        offset = [-mean for mean in CAFFE_MEAN_BGR]
        return keras.layers.Rescaling(1.0, offset=offset, name="preprocessing")(bgr)
    raise InputError(
        f"preprocessing must be one of {', '.join(PREPROCESSINGS)}. Received: {preprocessing!r}."
    )
