"""The packing of a cut's tensors into one array of real numbers, which is stored and fed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from tfxfer.errors import InputError

# Whole numbers are packed as their bytes, each divided by 256. Every engine and every type of the
# store keeps these exactly, while a large number, such as that of a token, would be rounded.
_BYTES, _BASE = 4, 256


def packed_shape(tensors: Sequence[keras.KerasTensor], name: str) -> tuple[Any, ...]:
    """Return the shape of an item's features when some tensors are packed as one.

    Args:
        name: The name of the block behind which the network is cut, for the error.

    Raises:
        InputError: The tensors have other free axes than the first one, or not all have it.
    """
    shapes = [tuple(tensor.shape[1:]) for tensor in tensors]
    _check_free_axis(name, shapes)
    if _is_plain(tensors):
        return shapes[0]
    return (*(side for side in shapes[0][:1] if side is None), sum(map(_width, tensors)))


def _check_free_axis(name: str, tensors: Sequence[tuple[Any, ...]]) -> None:
    free = {tuple(axis for axis, side in enumerate(each) if side is None) for each in tensors}
    if free not in ({()}, {(0,)}):
        raise InputError(
            "Features may have one free axis, the first one, and then all tensors of a cut have "
            f"it. Received: a cut behind {name!r} through tensors of the shapes "
            f"{', '.join(map(str, tensors))}. Unfreeze another number of blocks."
        )


def _is_plain(tensors: Sequence[keras.KerasTensor]) -> bool:
    """Return whether a cut goes through one tensor of real numbers, which needs no packing."""
    return len(tensors) == 1 and _kind(tensors[0]) == "real"


def _kind(tensor: keras.KerasTensor) -> str:
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if dtype == "bool":
        return "bool"
    return "whole" if "int" in dtype else "real"


def _width(tensor: keras.KerasTensor) -> int:
    """Return how many numbers a tensor becomes, for each item or each step of the free axis."""
    fixed = [side for side in tensor.shape[1:] if side is not None]
    return math.prod(fixed) * (_BYTES if _kind(tensor) == "whole" else 1)


def pack(tensors: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    """Join tensors as real numbers ``[batch, *packed_shape]``; one real tensor stays as it is."""
    if _is_plain(tensors):
        return tensors[0]
    parts = [_flatten(part) for tensor in tensors for part in _to_real(tensor)]
    return parts[0] if len(parts) == 1 else keras.ops.concatenate(parts, axis=-1)


def unpack(
    packed: keras.KerasTensor, boundary: Sequence[keras.KerasTensor]
) -> list[keras.KerasTensor]:
    """Take apart the tensors that `pack` has joined.

    Args:
        boundary: The tensors that were packed, or others of their shapes and types.
    """
    if _is_plain(boundary):
        return [packed]
    tensors, start = [], 0
    for tensor in boundary:
        end = start + _width(tensor)
        tensors.append(_from_real(packed[..., start:end], tensor))
        start = end
    return tensors


def _flatten(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Join all axes of an item into one, except a free axis."""
    if None in tensor.shape[1:]:
        return keras.layers.Reshape((-1, _width(tensor)))(tensor)
    return keras.ops.reshape(tensor, (-1, _width(tensor)))


def _restore(flat: keras.KerasTensor, shape: tuple[Any, ...]) -> keras.KerasTensor:
    """Undo `_flatten`."""
    if None in shape:
        return keras.layers.Reshape([-1 if side is None else side for side in shape])(flat)
    return keras.ops.reshape(flat, (-1, *shape))


def _to_real(tensor: keras.KerasTensor) -> list[keras.KerasTensor]:
    """Return a tensor as one or several of its shape, in real numbers that survive rounding."""
    if _kind(tensor) != "whole":
        return [keras.ops.cast(tensor, "float32") if _kind(tensor) == "bool" else tensor]
    rest, parts = keras.ops.cast(tensor, "int32"), []
    for _ in range(_BYTES):
        parts.append(keras.ops.cast(keras.ops.mod(rest, _BASE), "float32") / _BASE)
        rest = keras.ops.floor_divide(rest, _BASE)
    return parts


def _from_real(flat: keras.KerasTensor, tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Undo `_to_real` and `_flatten`."""
    shape = tuple(tensor.shape[1:])
    kind, width = _kind(tensor), _width(tensor)
    if kind == "bool":
        return _restore(flat, shape) > 0.5
    if kind == "real":
        return _restore(flat, shape)
    own = width // _BYTES
    whole = sum(
        keras.ops.cast(keras.ops.round(flat[..., i * own : (i + 1) * own] * _BASE), "int32")
        * _BASE**i
        for i in range(_BYTES)
    )
    return keras.ops.cast(_restore(whole, shape), tensor.dtype)
