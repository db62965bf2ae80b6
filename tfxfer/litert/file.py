"""The flatbuffers that a LiteRT file consists of."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfxfer.errors import InputError

_MODEL_IDENTIFIER = b"TFL3"
# LiteRT uses weights where they lie in the file; its schema promises them this alignment.
_ALIGNMENT_BYTES = 16


@dataclass(frozen=True)
class Number:
    """A scalar in a table; `kind` is the name that the schema gives its type, such as ``Int8``."""

    kind: str
    value: int


# A table of a flatbuffer maps the number of each field, its place in the schema, to its value.
Table = dict[int, Any]


def import_litert(module: str) -> Any:
    """Import a module of the optional package ``ai_edge_litert``.

    Raises:
        InputError: The package is not installed.
    """
    try:
        return importlib.import_module(f"ai_edge_litert.{module}")
    except ImportError as error:
        raise InputError(
            "LiteRT models need the package ai-edge-litert, which some platforms lack. "
            f'Received: {error}. Install it with: pip install "tfxfer[litert]"'
        ) from error


def pack_table(table: Table, identifier: bytes) -> Any:
    """Write a table as a flatbuffer ``[bytes]`` uint8."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(_put(builder, table), identifier)
    return np.frombuffer(bytes(builder.Output()), np.uint8)


def _put(builder: Any, value: Any) -> int:
    """Write a text, a list of tables or floats, or a table, after everything that it refers to."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, list):
        if all(isinstance(each, float) for each in value):
            return builder.CreateNumpyVector(np.array(value, np.float32))
        places = [_put(builder, each) for each in value]
        builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return builder.EndVector()
    fields = {
        slot: each if isinstance(each, Number) else _put(builder, each)
        for slot, each in value.items()
    }
    builder.StartObject(max(fields, default=-1) + 1)
    for slot, field in fields.items():
        if isinstance(field, Number):
            getattr(builder, f"Prepend{field.kind}Slot")(slot, field.value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, field, 0)
    return builder.EndObject()


def pack_model(model: Any) -> bytes:
    """Write a model as a flatbuffer, and align its weights, which the schema's writer does not."""
    import flatbuffers

    buffer_type: Any = import_litert("schema_py_generated").BufferT

    class AlignedBuffer(buffer_type):
        def Pack(self, builder: Any) -> int:
            if self.data is not None:
                builder.Prep(_ALIGNMENT_BYTES, len(self.data))
            return super().Pack(builder)

    model.buffers = [AlignedBuffer(each.data, each.offset, each.size) for each in model.buffers]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), _MODEL_IDENTIFIER)
    return bytes(builder.Output())
