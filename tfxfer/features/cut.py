"""Cut a network at the freeze line: a frozen prefix, and a suffix that trains with the head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from tfxfer.backbones.backbone import Backbone
from tfxfer.task import Head

POOLED = "pooled"
PICTURES = "pictures"


@dataclass(frozen=True)
class Cut:
    """A place between the frozen and the unfrozen blocks.

    Attributes:
        unfrozen: number of unfrozen blocks above it.
        name: ``"pooled"`` behind the whole backbone, ``"pictures"`` before it, else the name of
            the last frozen block.
        shape: of one picture's features. A network whose blocks read two earlier ones (NASNet)
            is cut through several tensors at once; they are then packed into one vector.
        tensors: shapes of the tensors that the cut goes through.
    """

    unfrozen: int
    name: str
    shape: tuple[int, ...]
    tensors: tuple[tuple[int, ...], ...]

    @property
    def is_spatial(self) -> bool:
        """Whether the features are one map ``[h, w, channels]``."""
        return len(self.shape) == 3


def find_cut(backbone: Backbone, head: Head, unfrozen: int) -> Cut:
    """Find the cut below the top blocks.

    Args:
        backbone: the network and its blocks.
        head: its poolings stand below the cut where nothing is unfrozen.
        unfrozen: number of unfrozen blocks, from 0 to all.
    """
    if unfrozen == len(backbone.blocks):
        shape = tuple(int(side or 0) for side in backbone.input.shape)
        return Cut(unfrozen, PICTURES, shape, (shape,))
    if unfrozen == 0:
        channels = head.count_pooled(backbone.network.output.shape)
        return Cut(0, POOLED, (channels,), ((channels,),))
    tensors = tuple(tuple(t.shape[1:]) for t in _boundary(backbone, unfrozen))
    packed = tensors[0] if len(tensors) == 1 else (sum(map(math.prod, tensors)),)
    return Cut(unfrozen, backbone.blocks[-unfrozen - 1].name, packed, tensors)


def build_prefix(backbone: Backbone, head: Head, cuts: Sequence[Cut]) -> keras.Model:
    """Join everything below some cuts to one model, which gives all of them in one pass.

    Returns:
        From pictures ``[batch, size, size, 3]`` float32, RGB, 0…255, to a list of features
        ``[batch, *cut.shape]`` float32, one for each cut. It runs in inference mode.
    """
    pictures, preprocessed = backbone.start()
    wanted = [
        _boundary(backbone, cut.unfrozen) if cut.unfrozen else (backbone.network.output,)
        for cut in cuts
    ]
    below = keras.Model(backbone.network.inputs, [t for tensors in wanted for t in tensors])
    reached = iter(keras.tree.flatten(below(preprocessed, training=False)))
    outputs = []
    for cut, tensors in zip(cuts, wanted, strict=True):
        own = [next(reached) for _ in tensors]
        outputs.append(_pack(own) if cut.unfrozen else head.pool(own[0]))
    return keras.Model(pictures, outputs, name="prefix")


def build_suffix(
    backbone: Backbone, head: Head, cut: Cut, trains_batch_norm: bool = False
) -> keras.Model:
    """Join everything above a cut to a model over the same weights; it may not be at the pictures.

    Args:
        trains_batch_norm: let the mode of the call reach the unfrozen blocks.

    Returns:
        From features ``[batch, *cut.shape]`` float32 to probabilities ``[batch, classes]``
        float32.
    """
    inputs = keras.Input(cut.shape, name="features")
    if cut.unfrozen == 0:
        return keras.Model(inputs, head.classify(inputs), name="suffix")
    boundary = _boundary(backbone, cut.unfrozen)
    above = keras.Model(list(boundary), backbone.network.output)
    mode = {} if trains_batch_norm else {"training": False}
    features = above(_unpack(inputs, cut.tensors), **mode)
    return keras.Model(inputs, head.classify(head.pool(features)), name="suffix")


def _boundary(backbone: Backbone, unfrozen: int) -> tuple[keras.KerasTensor, ...]:
    """The tensors that lead from the frozen blocks to the unfrozen ones, from input to output."""
    below: set[str] = set()
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


def _pack(tensors: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    if len(tensors) == 1:
        return tensors[0]
    flat = [keras.ops.reshape(tensor, (-1, math.prod(tensor.shape[1:]))) for tensor in tensors]
    return keras.ops.concatenate(flat, axis=-1)


def _unpack(
    packed: keras.KerasTensor, shapes: Sequence[tuple[int, ...]]
) -> list[keras.KerasTensor]:
    if len(shapes) == 1:
        return [packed]
    tensors, start = [], 0
    for shape in shapes:
        end = start + math.prod(shape)
        tensors.append(keras.ops.reshape(packed[:, start:end], (-1, *shape)))
        start = end
    return tensors
