"""The cut at the freeze line, into a frozen prefix and a suffix that trains with the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tfxfer.backbones.backbone import Backbone
from tfxfer.features.pack import pack, packed_shape, unpack
from tfxfer.task import Head

POOLED = "pooled"
# Records use this name for the cut at the items, and other programs read them.
ITEMS = "pictures"


@dataclass(frozen=True)
class Cut:
    """A place between the frozen and the unfrozen blocks.

    Attributes:
        unfrozen: The number of unfrozen blocks above it.
        name: The name of the last frozen block, ``"pooled"`` behind the whole backbone, or
            ``"pictures"`` before it.
        shape: The shape of one item's features. Its first axis is None if it is as long as the
            item (tokens, frames); that axis is free. A network whose blocks read two earlier ones
            (NASNet), or a mask besides the block below, is cut through several tensors at once;
            they are then packed into one vector, or into one for each step of the free axis.
        tensors: The shapes of the tensors that the cut goes through.
    """

    unfrozen: int
    name: str
    shape: tuple[Any, ...]
    tensors: tuple[tuple[Any, ...], ...]

    @property
    def is_ragged(self) -> bool:
        """Whether the features of some items are longer than those of others."""
        return bool(self.shape) and self.shape[0] is None

    @property
    def is_spatial(self) -> bool:
        """Whether the features are one map ``[h, w, channels]``."""
        return len(self.shape) == 3 and not self.is_ragged


def find_cut(backbone: Backbone, head: Head, unfrozen: int) -> Cut:
    """Find the cut below a number of top blocks.

    Args:
        backbone: The network and its blocks.
        head: The head, whose poolings lie below the cut if nothing is unfrozen.
        unfrozen: The number of unfrozen blocks, from 0 to all.

    Raises:
        InputError: The cut goes through tensors that cannot be packed as one.
    """
    if unfrozen == len(backbone.blocks):
        shape = backbone.input.shape
        return Cut(unfrozen, ITEMS, shape, (shape,))
    if unfrozen == 0:
        channels = head.count_pooled(backbone.network.output.shape)
        return Cut(0, POOLED, (channels,), ((channels,),))
    boundary, name = _boundary(backbone, unfrozen), backbone.blocks[-unfrozen - 1].name
    tensors = tuple(tuple(tensor.shape[1:]) for tensor in boundary)
    return Cut(unfrozen, name, packed_shape(boundary, name), tensors)


def build_prefix(backbone: Backbone, head: Head, cuts: Sequence[Cut]) -> keras.Model:
    """Build a model of all layers below some cuts, which gives their features in one pass.

    Returns:
        A model, in inference mode, from items, as `backbone.input` says, to a list of features
        ``[batch, *cut.shape]`` float32, one for each cut. A network of several inputs is given
        each of them, without preprocessing.
    """
    inputs, preprocessed = _start(backbone)
    wanted = [
        _boundary(backbone, cut.unfrozen) if cut.unfrozen else (backbone.network.output,)
        for cut in cuts
    ]
    below = keras.Model(backbone.network.inputs, [t for tensors in wanted for t in tensors])
    reached = iter(keras.tree.flatten(below(preprocessed, training=False)))
    outputs = []
    for cut, tensors in zip(cuts, wanted, strict=True):
        own = [next(reached) for _ in tensors]
        outputs.append(pack(own) if cut.unfrozen else head.pool(own[0]))
    return keras.Model(inputs, outputs, name="prefix")


def build_suffix(
    backbone: Backbone, head: Head, cut: Cut, trains_batch_norm: bool = False
) -> keras.Model:
    """Build a model of all layers above a cut, with the same weights.

    The cut may not be at the items. The mode of a call reaches the head, and the unfrozen blocks
    of a network that keeps its dropout. BatchNormalization stays in inference mode by its own
    flag, `trainable`.

    Args:
        trains_batch_norm: Whether the mode of a call reaches the unfrozen blocks in any case.

    Returns:
        A model from features ``[batch, *cut.shape]`` float32 to probabilities
        ``[batch, classes]`` float32.
    """
    inputs = keras.Input(cut.shape, name="features")
    if cut.unfrozen == 0:
        return keras.Model(inputs, head.classify(inputs), name="suffix")
    boundary = _boundary(backbone, cut.unfrozen)
    above = keras.Model(list(boundary), backbone.network.output)
    follows_mode = trains_batch_norm or backbone.keeps_dropout
    mode = {} if follows_mode else {"training": False}
    features = above(unpack(inputs, boundary), **mode)
    return keras.Model(inputs, head.classify(head.pool(features)), name="suffix")


def shapes_at(backbone: Backbone, cut: Cut, length: int) -> list[tuple[int, ...]]:
    """Return the shapes of the tensors of a ragged cut, for one item of a length."""
    boundary = _boundary(backbone, cut.unfrozen)
    given = [(1, length, *tensor.shape[2:]) for tensor in backbone.network.inputs]
    found = keras.Model(backbone.network.inputs, list(boundary)).compute_output_shape(
        given[0] if len(given) == 1 else given
    )
    return [tuple(shape) for shape in found] if len(boundary) > 1 else [tuple(found)]


def _start(backbone: Backbone) -> tuple[Any, Any]:
    """Return the inputs of a model over the whole network, before and after preprocessing."""
    if len(backbone.network.inputs) == 1:
        return backbone.start()
    inputs = [
        keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name)
        for tensor in backbone.network.inputs
    ]
    return inputs, inputs


def _boundary(backbone: Backbone, unfrozen: int) -> tuple[keras.KerasTensor, ...]:
    """Return the tensors that the unfrozen blocks read and do not make, from input to output.

    They come from the frozen blocks, or are inputs of the network, such as a mask.
    """
    below = {tensor._keras_history.operation.name for tensor in backbone.network.inputs}
    for block in backbone.blocks[: len(backbone.blocks) - unfrozen]:
        below |= block.operations
    nodes = [n for _, level in sorted(backbone.network._nodes_by_depth.items()) for n in level]
    crossing = {
        id(tensor): tensor
        for node in reversed(nodes)
        if node.operation.name not in below
        for tensor in node.input_tensors
        if tensor._keras_history.operation.name in below
    }
    return tuple(crossing.values())
