"""LiteRT weights in float16 where that changes next to nothing, and in float32 elsewhere.

Rounding to float16 is a change of 0.05 % at most, and yet depthwise convolutions turn it into
probabilities that differ by several points. So each weight says how much it matters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice

import flatbuffers
import numpy as np

# Smaller weights stay float32: all together they take less than a tenth of the file.
_LEAST = 20_000
# Pictures that single weights are tried on, and those that all together are.
_TRIED_ON, _CHECKED_ON = 32, 200


@dataclass(frozen=True)
class _Weight:
    """A weight of the float16 file: the operation that makes it float32, and both tensors."""

    operation: int
    half: int
    full: int
    values: np.ndarray


def mix_float16(
    full: bytes, half: bytes, pictures: Iterable[np.ndarray], tolerance: float
) -> bytes:
    """Turn weights of a float16 file back to float32, until it gives what the float32 one gives.

    Args:
        full: a LiteRT model with float32 weights.
        half: the same with float16 weights, as the converter makes it.
        pictures: ``[size, size, 3]`` float32, 0…255.
        tolerance: largest difference of a probability.

    Returns:
        The file with the most float16 weights that keeps to the tolerance; what matters least
        is rounded first.
    """
    shown = np.stack(list(islice(pictures, _CHECKED_ON)))
    weights = _find_weights(full, half)
    large = [weight for weight in weights if weight.values.size >= _LEAST]
    few = shown[:_TRIED_ON]
    wanted = predict(full, few)

    def differ(kept: Collection[_Weight], on: np.ndarray, expected: np.ndarray) -> float:
        return float(np.abs(predict(_restore(half, kept), on) - expected).max())

    harm = {
        weight.full: differ([other for other in weights if other is not weight], few, wanted)
        for weight in large
    }
    # Bytes that are saved at the least harm come first; harms add up by their squares.
    large.sort(key=lambda weight: harm[weight.full] ** 2 / weight.values.size)
    expected = predict(full, shown)
    least, most = 0, len(large)
    while least < most:
        count = (least + most + 1) // 2
        rounded = {weight.full for weight in large[:count]}
        kept = [weight for weight in weights if weight.full not in rounded]
        if differ(kept, shown, expected) <= tolerance:
            least = count
        else:
            most = count - 1
    rounded = {weight.full for weight in large[:least]}
    return _restore(half, [weight for weight in weights if weight.full not in rounded])


def predict(model: bytes, pictures: np.ndarray) -> np.ndarray:
    """Probabilities ``[pictures, classes]`` of a LiteRT model with float32 input and output."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(taken["index"], pictures.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], pictures)
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])


def _find_weights(full: bytes, half: bytes) -> list[_Weight]:
    """The weights of the float16 file with what they were before they were rounded."""
    from ai_edge_litert import schema_py_generated as schema

    packed, exact = (schema.ModelT.InitFromPackedBuf(model) for model in (half, full))
    codes = [code.builtinCode for code in packed.operatorCodes]
    known: dict[bytes, np.ndarray] = {}
    for tensor in exact.subgraphs[0].tensors:
        data = exact.buffers[tensor.buffer].data
        if tensor.type == schema.TensorType.FLOAT32 and data is not None and len(data):
            values = np.frombuffer(bytes(data), np.float32)
            known[values.astype(np.float16).tobytes()] = values
    graph, weights = packed.subgraphs[0], []
    for number, operation in enumerate(graph.operators):
        if codes[operation.opcodeIndex] != schema.BuiltinOperator.DEQUANTIZE:
            continue
        source, result = operation.inputs[0], operation.outputs[0]
        data = packed.buffers[graph.tensors[source].buffer].data
        found = known.get(bytes(data)) if data is not None and len(data) else None
        if found is not None:
            weights.append(_Weight(number, source, result, found))
    return weights


def _restore(half: bytes, kept: Collection[_Weight]) -> bytes:
    """Give some weights their float32 values, without the operations that made them so."""
    from ai_edge_litert import schema_py_generated as schema

    packed = schema.ModelT.InitFromPackedBuf(half)
    graph = packed.subgraphs[0]
    for weight in kept:
        buffer = packed.buffers[graph.tensors[weight.half].buffer]
        buffer.data = np.frombuffer(weight.values.tobytes(), np.uint8)
        # The result takes over the buffer; the rounded tensor stays, and is nobody's.
        graph.tensors[weight.full].buffer = graph.tensors[weight.half].buffer
        graph.tensors[weight.half].buffer = 0
        graph.tensors[weight.half].shape = [0]
    gone = {weight.operation for weight in kept}
    graph.operators = [each for number, each in enumerate(graph.operators) if number not in gone]
    builder = flatbuffers.Builder(len(half))
    builder.Finish(packed.Pack(builder), b"TFL3")
    return bytes(builder.Output())
