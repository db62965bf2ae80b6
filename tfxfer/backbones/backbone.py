"""A pretrained network without its top, ready to be frozen and unfrozen block by block."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from tfxfer.backbones.blocks import Block
from tfxfer.backbones.families import Preprocessing


@dataclass(frozen=True)
class Backbone:
    """A headless network, its blocks and what it expects of its input.

    Attributes:
        network: `keras.Model` from preprocessed pictures ``[batch, size, size, 3]`` float32 to a
            feature map ``[batch, h, w, channels]`` or a vector ``[batch, channels]``.
        blocks: its blocks from input to output.
        preprocessing: what it expects of its input.
        size_px: side of its input pictures in pixels.
        notes: what the user should know of where it came from.
    """

    network: keras.Model
    blocks: tuple[Block, ...]
    preprocessing: Preprocessing
    size_px: int
    notes: tuple[str, ...] = ()


def apply_preprocessing(
    pictures: keras.KerasTensor, preprocessing: Preprocessing
) -> keras.KerasTensor:
    """Apply a network's own preprocessing inside the model.

    Standing in the model and not in the input pipeline, it cannot differ between training and
    serving.

    Args:
        pictures: ``[batch, height, width, 3]`` float32, RGB, 0…255.
    """
    scale, offset = list(preprocessing.scale), list(preprocessing.offset)
    if preprocessing.is_bgr:
        pictures = keras.ops.flip(pictures, axis=-1)
    if scale == [1.0] and offset == [0.0]:
        return pictures
    rescaling = keras.layers.Rescaling(
        scale[0] if len(scale) == 1 else scale,
        offset=offset[0] if len(offset) == 1 else offset,
        name="preprocessing",
    )
    return rescaling(pictures)
