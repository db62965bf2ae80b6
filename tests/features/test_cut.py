"""A network falls into blocks, and cut at the freeze line gives what it gives in one piece."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from support.cutting import compare_cuts, pooling_head
from support.small import outline, random_weights, small_size_px

from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.blocks import list_blocks
from tfxfer.config.head import HeadConfig
from tfxfer.features.cut import build_prefix, build_suffix, find_cut
from tfxfer.modalities.pictures.networks.applications import wrap_network
from tfxfer.modalities.pictures.networks.families import COUNTS, FAMILIES, NETWORKS
from tfxfer.tasks.heads import build_head

pytestmark = pytest.mark.slow

# The smallest network of each family: the others repeat its blocks or widen them.
SMALLEST = [next(iter(family.sizes_px)) for family in FAMILIES]


def outline_backbone(name: str) -> Backbone:
    family, network = NETWORKS[name], outline(name)
    return wrap_network(network, family, small_size_px(name))


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_hold_all_weights_once(name):
    network = outline(name)
    blocks = list_blocks(network, NETWORKS[name])
    layers = [layer for block in blocks for layer in block.layers]
    assert sorted(layers) == sorted(layer.name for layer in network.layers if layer.weights)
    assert sum(block.parameters for block in blocks) == network.count_params()
    assert all(block.parameters > 0 for block in blocks)
    assert len({block.name for block in blocks}) == len(blocks) >= 5
    assert COUNTS[name] == (network.count_params(), len(blocks))


@pytest.mark.parametrize("name", SMALLEST)
def test_prefix_and_suffix_give_what_the_whole_network_gives(name):
    keras.utils.set_random_seed(0)
    backbone = outline_backbone(name)
    count = len(backbone.blocks)
    with random_weights(backbone.network):
        first, second = compare_cuts(backbone, unfrozen=(0, count // 2, count - 1))
    scale = max(np.abs(first).max(), np.abs(second).max())
    assert np.abs(first - second).max() > 1e-3 * scale, "the pictures are told apart"


def walk_back(tensors, stop: frozenset[str]) -> tuple[set[str], dict[int, tuple]]:
    """Follow some tensors to their origins.

    Returns:
        The operations on the way, and the shapes of the tensors at which those in `stop` begin.
    """
    passed, met, waiting = set(), {}, list(tensors)
    while waiting:
        tensor = waiting.pop()
        operation, node, _ = tensor._keras_history
        if operation.name in stop:
            met[id(tensor)] = tensor.shape[1:]
        elif operation.name not in passed:
            passed.add(operation.name)
            waiting.extend(operation._inbound_nodes[node].input_tensors)
    return passed, met


@pytest.mark.parametrize("name", NETWORKS)
def test_every_cut_goes_through_all_that_leads_from_frozen_to_unfrozen_blocks(name):
    """Nothing of the frozen blocks reaches the output but through the tensors of the cut."""
    backbone = outline_backbone(name)
    head, blocks = build_head(HeadConfig(), 3, seed=0), backbone.blocks
    operations = {operation.name for operation in backbone.network.operations}
    for unfrozen in range(1, len(blocks)):
        cut = find_cut(backbone, head, unfrozen)
        below = frozenset().union(*(block.operations for block in blocks[:-unfrozen]))
        above, crossed = walk_back([backbone.network.output], stop=below)
        assert sorted(crossed.values()) == sorted(cut.tensors), cut
        assert above == operations - below, cut
        assert cut.name == blocks[-unfrozen - 1].name


@pytest.mark.parametrize("name", SMALLEST)
def test_prefix_and_suffix_share_no_weight_and_leave_none_out(name):
    backbone, head = outline_backbone(name), pooling_head()
    unfrozen = len(backbone.blocks) // 2
    cut = find_cut(backbone, head, unfrozen)
    with keras.StatelessScope(initialize_variables=False):
        prefix, suffix = build_prefix(backbone, head, [cut]), build_suffix(backbone, head, cut)
    parts = [{weight.path for weight in model.weights} for model in (prefix, suffix)]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == {weight.path for weight in backbone.network.weights}
    assert suffix.count_params() == sum(block.parameters for block in backbone.blocks[-unfrozen:])


@pytest.mark.parametrize("name", ["NASNetMobile", "NASNetLarge"])
def test_a_cut_through_two_tensors_packs_them_into_one_vector(name):
    backbone = outline_backbone(name)
    cut = find_cut(backbone, pooling_head(), 3)
    assert len(cut.tensors) == 2
    assert cut.shape == (sum(int(np.prod(shape)) for shape in cut.tensors),)
    assert not cut.is_spatial


def test_cuts_are_named_after_what_is_frozen():
    backbone = outline_backbone("VGG16")
    head = build_head(HeadConfig(pooling="avg_max"), 3, seed=0)
    cuts = [find_cut(backbone, head, unfrozen) for unfrozen in (0, 1, 4, 5)]
    assert [cut.name for cut in cuts] == ["pooled", "block4", "block1", "pictures"]
    assert [cut.shape for cut in cuts] == [(1024,), (2, 2, 512), (16, 16, 64), (32, 32, 3)]
    assert [cut.is_spatial for cut in cuts] == [False, True, True, True]
