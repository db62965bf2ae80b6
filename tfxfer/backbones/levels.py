"""The outputs of several blocks as the features of a head, instead of only those of the last one.

The best features for the classes of the pretraining are not always the best for other classes:
outputs of earlier blocks often separate new classes better. A head on all of them, each averaged
over the item, chooses by itself (Evci et al. 2022, "Head2Toe").
"""

from __future__ import annotations

from dataclasses import replace

import keras

from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.flat_network import FlatNetwork


def add_levels(backbone: Backbone, levels: int) -> Backbone:
    """Make a backbone give the averaged outputs of its last blocks in one vector.

    The layers and their weights are shared with the given backbone.

    Args:
        backbone: The backbone.
        levels: The number of blocks from the top; a larger number than there are takes all, and 1
            changes nothing. A hub module, a network of KerasHub and a network whose blocks give no
            maps are not changed, and get a note that says so.

    Returns:
        A backbone whose network gives a vector ``[batch, channels]`` with the channels of the last
        block first.
    """
    if levels == 1:
        return backbone
    network, blocks = backbone.network, backbone.blocks
    operations = {operation.name: operation for operation in network.operations}
    tapped = blocks[-levels:]
    maps = [operations[block.end].output for block in tapped]
    # A network of KerasHub is saved as the backbone that it was made of, which has no levels.
    is_whole = len(blocks) == 1 or isinstance(network, FlatNetwork)
    if is_whole or any(len(each.shape) != 4 for each in maps):
        note = "the head reads the last block alone: this backbone has no others that it could read"
        return replace(backbone, notes=(*backbone.notes, note))
    poolings = [keras.layers.GlobalAveragePooling2D(name=f"level_{block.name}") for block in tapped]
    pooled = [pooling(each) for pooling, each in zip(poolings, maps, strict=True)]
    joined = keras.layers.Concatenate(name="levels")
    with_levels = keras.Model(network.inputs, joined(pooled[::-1]), name=network.name)
    # The average belongs to the block above, which also reads the map, so that a cut between both
    # blocks goes through the map alone.
    first = len(blocks) - len(tapped)
    extended = list(blocks)
    for number, pooling in enumerate(poolings, start=first):
        above = min(number + 1, len(blocks) - 1)
        own = extended[above].operations | {pooling.name}
        extended[above] = replace(extended[above], operations=own)
    last = extended[-1]
    extended[-1] = replace(last, operations=last.operations | {joined.name})
    return replace(backbone, network=with_levels, blocks=tuple(extended))
