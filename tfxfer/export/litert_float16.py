"""LiteRT files whose weights are float16 where that changes almost nothing, and float32 elsewhere.

Rounding to float16 changes a number by 0.05 % at most. Still, the converter's own float16, which
rounds all weights, moved probabilities of a MobileNetV2 by up to 0.04. Nearly all of it came from
the kernels of early and depthwise layers, which are a few hundredths of the weights. So small
constants stay in float32, and the effect of each large one is measured.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from tfxfer.litert.file import import_litert, pack_model
from tfxfer.litert.interpreter import LiteModel

# Constants with fewer numbers stay float32; in MobileNetV2 they are 6 % of the weights.
_LEAST_NUMBERS = 10_000
# Single constants are tried on so many pictures; the final choice is checked on all of them.
_TRIED_ON = 32
# This is the oldest version of the operation that reads float16.
_DEQUANTIZE_VERSION = 3
# In a model's list of buffers, the first one is empty by convention.
_EMPTY_BUFFER = 0


def mix_float16(content: bytes, items: np.ndarray, tolerance: float) -> bytes:
    """Round as many weights as the tolerance allows, beginning with those that matter least.

    Args:
        content: A LiteRT model in float32.
        pictures: ``[pictures, size, size, 3]`` float32, 0…255, which were not trained on.
        tolerance: The largest allowed change of a probability on these pictures.
    """
    few = items[:_TRIED_ON]
    exact, wanted = (_predict(content, shown) for shown in (few, items))

    def differ(chosen: Collection[int], shown: np.ndarray, expected: np.ndarray) -> float:
        return float(np.abs(_predict(round_weights(content, chosen), shown) - expected).max())

    sizes = list_large(content)
    # The squares of independent errors add up.
    harm = {index: differ([index], few, exact) ** 2 / size for index, size in sizes.items()}
    ordered = sorted(sizes, key=harm.__getitem__)
    least, most = 0, len(ordered)
    while least < most:
        middle = (least + most + 1) // 2
        if differ(ordered[:middle], items, wanted) <= tolerance:
            least = middle
        else:
            most = middle - 1
    return round_weights(content, ordered[:least])


def list_large(content: bytes) -> dict[int, int]:
    """Return the sizes of the large float32 constants, by the index of their tensor."""
    schema = import_litert("schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(content)
    return {
        index: len(model.buffers[tensor.buffer].data) // 4
        for index, tensor in enumerate(model.subgraphs[0].tensors)
        if _is_large_constant(model, tensor, schema)
    }


def round_weights(content: bytes, chosen: Collection[int]) -> bytes:
    """Store some constants as float16, which the model converts back when it is loaded.

    The arithmetic stays float32, because nothing in the file tells a CPU to use float16.

    Args:
        content: A LiteRT model in float32.
        chosen: Indices of tensors, from `list_large`.
    """
    schema = import_litert("schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(content)
    opcode = len(model.operatorCodes)
    model.operatorCodes.append(
        schema.OperatorCodeT(
            deprecatedBuiltinCode=schema.BuiltinOperator.DEQUANTIZE,
            builtinCode=schema.BuiltinOperator.DEQUANTIZE,
            version=_DEQUANTIZE_VERSION,
        )
    )
    halved: dict[int, int] = {}  # This maps each float32 buffer to its float16 buffer.
    graph, operators = model.subgraphs[0], []
    for index in sorted(chosen):
        tensor = graph.tensors[index]
        if tensor.buffer not in halved:
            halved[tensor.buffer] = len(model.buffers)
            model.buffers.append(schema.BufferT(data=_halve(model.buffers[tensor.buffer].data)))
        small = schema.TensorT(
            shape=tensor.shape,
            type=schema.TensorType.FLOAT16,
            buffer=halved[tensor.buffer],
            name=tensor.name + b"/float16",
        )
        tensor.buffer = _EMPTY_BUFFER
        operators.append(
            schema.OperatorT(
                opcodeIndex=opcode,
                inputs=np.array([len(graph.tensors)], np.int32),
                outputs=np.array([index], np.int32),
            )
        )
        graph.tensors.append(small)
    graph.operators = operators + list(graph.operators)
    used = {tensor.buffer for tensor in graph.tensors}
    for buffer in halved:
        if buffer not in used:
            model.buffers[buffer].data = None
    return pack_model(model)


def _predict(content: bytes, items: np.ndarray) -> np.ndarray:
    return LiteModel(content)(items)


def _is_large_constant(model: Any, tensor: Any, schema: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return (
        tensor.type == schema.TensorType.FLOAT32
        and isinstance(data, np.ndarray)
        and len(data) >= 4 * _LEAST_NUMBERS
    )


def _halve(data: np.ndarray) -> np.ndarray:
    """Convert bytes of float32 numbers to bytes of float16 numbers; large ones are clipped."""
    numbers = np.frombuffer(data.tobytes(), "<f4")
    largest = np.finfo(np.float16).max
    return np.frombuffer(numbers.clip(-largest, largest).astype("<f2").tobytes(), np.uint8)
