"""Small networks that read no pictures, or are cut through several tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.blocks import list_blocks
from tfxfer.modalities.pictures.networks.preprocessing import PREPROCESSINGS
from tfxfer.modality import InputSpec

VOCABULARY, WIDTH = 70_000, 8


@dataclass(frozen=True)
class Rows:
    """Says where the blocks of a small network end: at operations called ``block0``, ``block1``."""

    name: str = "Small"
    block_end: str = r"(?P<name>embeddings|block\d)$"


def take(network: keras.Model, **changes: Any) -> Backbone:
    """The blocks of a network that does its preprocessing itself."""
    blocks, first = list_blocks(network, Rows()), network.inputs[0]
    given = InputSpec(first.name, tuple(first.shape[1:]), first.dtype)
    return Backbone(network, blocks, PREPROCESSINGS["inside"], given, **changes)


def build_encoder(
    mask: str = "input", blocks: int = 3, dropout: float = 0.0, keeps_dropout: bool = False
) -> Backbone:
    """Build an encoder of token numbers ``[batch, tokens]``, 0 where there is none.

    Args:
        mask: ``"input"``: a second input; ``"made"``: each block reads one that the network makes
            of the numbers.
    """
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    if mask == "input":
        is_token = keras.Input((None,), dtype="bool", name="padding_mask")
        inputs = [ids, is_token]
    else:
        is_token, inputs = keras.ops.not_equal(ids, 0), ids
    x = keras.layers.Embedding(VOCABULARY, WIDTH, name="embeddings")(ids)
    for index in range(blocks):
        attention = keras.layers.MultiHeadAttention(
            2, WIDTH // 2, dropout=dropout, name=f"block{index}_attention"
        )
        read = attention(x, x, attention_mask=is_token[:, None, :])
        x = keras.layers.LayerNormalization(name=f"block{index}_norm_1")(x + read)
        y = keras.layers.Dense(WIDTH, activation="gelu", name=f"block{index}_dense")(x)
        y = keras.layers.Dropout(dropout, name=f"block{index}_dropout")(y)
        y = keras.layers.LayerNormalization(name=f"block{index}_norm_2")(x + y)
        last = index == blocks - 1
        x = keras.layers.Identity(name=f"block{index}")(y[:, 0] if last else y)
    return take(keras.Model(inputs, x, name="encoder"), keeps_dropout=keeps_dropout)


def build_detector() -> Backbone:
    """Build a network whose last block joins three maps of different sizes, as a detector does."""
    pictures = keras.Input((32, 32, 3), name="images")
    maps, x = [], pictures
    for index, channels in enumerate((4, 6, 8)):
        convolution = keras.layers.Conv2D(
            channels, 3, strides=2, padding="same", activation="relu", name=f"level{index}"
        )
        x = convolution(x)
        maps.append(x)
    x = keras.layers.Identity(name="block0")(x)
    sizes = [keras.layers.Conv2D(5, 1, name=f"head{index}")(each) for index, each in
             enumerate([*maps[:2], x])]  # fmt: skip
    pooled = [keras.layers.GlobalAveragePooling2D(name=f"pool{i}")(each)
              for i, each in enumerate(sizes)]  # fmt: skip
    joined = keras.layers.Concatenate(name="block1")(pooled)
    return take(keras.Model(pictures, joined, name="detector"))


def build_with_drop_connect(keeps_dropout: bool) -> Backbone:
    """Build a small network of pictures whose blocks hold BatchNormalization and dropout."""
    pictures = keras.Input((32, 32, 3), name="images")
    x = keras.layers.Conv2D(8, 3, strides=8, name="block0")(pictures)
    for index in (1, 2):
        y = keras.layers.Conv2D(8, 1, name=f"block{index}_convolution")(x)
        y = keras.layers.BatchNormalization(name=f"block{index}_norm")(y)
        y = keras.layers.Dropout(0.5, noise_shape=(None, 1, 1, 1), name=f"block{index}_drop")(y)
        x = keras.layers.Add(name=f"block{index}")([x, y])
    return take(keras.Model(pictures, x, name="dropping"), keeps_dropout=keeps_dropout)
