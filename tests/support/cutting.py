"""The comparison of a whole network with its parts on both sides of a cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import keras
import numpy as np

from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.whole import build_model
from tfxfer.features.cut import build_prefix, build_suffix, find_cut
from tfxfer.tasks.heads import DenseHead


def pooling_head() -> DenseHead:
    """Return a head that gives the pooled features.

    A softmax would hide the features of random weights, which are small.
    """
    return DenseHead((keras.layers.GlobalAveragePooling2D(),), (keras.layers.Identity(),))


def lowest_blocks(backbone: Backbone, count: int) -> Backbone:
    """Return a network of a backbone's lowest blocks, over the same layers."""
    network, blocks = backbone.network, backbone.blocks[:count]
    end = next(each for each in network.operations if each.name == blocks[-1].end)
    network = keras.Model(network.input, end.output, name=network.name)
    return replace(backbone, network=network, blocks=blocks)


def compare_cuts(backbone: Backbone, unfrozen: Sequence[int]) -> np.ndarray:
    """Check that a network cut below some of its blocks gives the same features as in one piece.

    Args:
        backbone: The network.
        unfrozen: The number of blocks above each cut.

    Returns:
        The features of two pictures of noise.
    """
    head = pooling_head()
    pictures = np.random.default_rng(0).uniform(
        0, 255, (2, backbone.input.shape[0], backbone.input.shape[0], 3)
    )
    expected = build_model(backbone, head)(pictures, training=False).numpy()
    cuts = [find_cut(backbone, head, count) for count in unfrozen]
    features = build_prefix(backbone, head, cuts)(pictures, training=False)
    for cut, part in zip(cuts, features, strict=True):
        assert part.shape == (2, *cut.shape)
        joined = build_suffix(backbone, head, cut)(part, training=False).numpy()
        scale = np.abs(expected).max()
        np.testing.assert_allclose(joined, expected, rtol=1e-5, atol=1e-5 * scale, err_msg=cut.name)
    return expected
