"""Hashes of everything that decides the numbers in stored features."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfxfer.backbones.backbone import Backbone
from tfxfer.cache.digest import digest
from tfxfer.data.items import Identity
from tfxfer.features.cut import Cut
from tfxfer.task import Head

# This is raised when a change to decoding, augmentation or the prefix changes features.
_VERSION = 4


def hash_prefix(backbone: Backbone, head: Head, cut: Cut) -> str:
    """Hash everything that decides the features at a cut for a decoded item.

    Neither the weights above the cut nor the engine count.
    """
    network = backbone.network
    frozen = backbone.blocks[: len(backbone.blocks) - cut.unfrozen]
    layers = [network.get_layer(name) for block in frozen for name in block.layers]
    facts = (
        _VERSION,
        keras.__version__,
        tf.__version__,  # TensorFlow decodes and resizes the items.
        network.name,
        backbone.input.shape[0],
        backbone.preprocessing,
        cut,
        [type(pooling).__name__ for pooling in head.poolings],
    )
    weights = (digest(np.asarray(weight).tobytes()) for layer in layers for weight in layer.weights)
    return digest(repr(facts), *weights)


def name_views(identities: Sequence[Identity], view: int) -> list[str]:
    """Name one view of each item; an item that is replaced or edited has another name."""
    return [digest(item.name, item.stamp, str(view)) for item in identities]


def view_seeds(identities: Sequence[Identity], seed: int, view: int) -> np.ndarray:
    """Return ``[items, 2]`` int64 seeds, which depend only on an item's name, a seed and a view."""
    digests = [digest(item.name, str(seed), str(view)) for item in identities]
    return np.frombuffer(bytes.fromhex("".join(digests)), np.int64).reshape(-1, 2)
