"""What a LiteRT file says of itself: labels, input range. Tools for phones read it.

The tables are those of TFLite Metadata, https://ai.google.dev/edge/litert/models/metadata: a
flatbuffer in the model, and the labels in a zip archive behind it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

import flatbuffers

LABELS_FILE = "labels.txt"
_NAME, _IDENTIFIER = "TFLITE_METADATA", b"M001"
# Of the schema: the version that knows all that is written, and numbers of its enumerations.
_PARSER_VERSION = "1.0.0"
_AXIS_LABELS, _RGB, _IMAGE, _NORMALIZATION = 2, 1, 2, 1


def add_metadata(model: bytes, name: str, description: str, classes: Sequence[str]) -> bytes:
    """Put metadata into a LiteRT model, and its labels behind it.

    Args:
        model: a converted model with one input, pictures, and one output, probabilities.
        name, description: for people.
        classes: class names.
    """
    from ai_edge_litert import schema_py_generated as schema

    packed = schema.ModelT.InitFromPackedBuf(model)
    buffer = schema.BufferT()
    buffer.data = _describe(name, description)
    packed.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = _NAME, len(packed.buffers) - 1
    packed.metadata = [*(packed.metadata or ()), entry]
    builder = flatbuffers.Builder(len(model))
    builder.Finish(packed.Pack(builder), b"TFL3")
    file = io.BytesIO()
    file.write(builder.Output())
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        # A fixed date: the same model gives the same file.
        archive.writestr(zipfile.ZipInfo(LABELS_FILE), "\n".join(classes) + "\n")
    return file.getvalue()


def read_labels(model: bytes) -> tuple[str, ...] | None:
    """Class names that lie in a LiteRT file; None: it holds none."""
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            text = archive.read(LABELS_FILE).decode("utf-8")
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError):
        return None
    return tuple(text.split("\n")[:-1])


def _describe(name: str, description: str) -> bytes:
    """The metadata's flatbuffer."""
    builder = flatbuffers.Builder(1024)
    text = builder.CreateString

    normalization = _table(builder, 2, {0: _floats(builder, 0.0), 1: _floats(builder, 1.0)})
    unit = _table(builder, 2, {1: normalization}, {0: ("Uint8", _NORMALIZATION)})
    picture = _table(builder, 2, {}, {0: ("Int8", _RGB)})
    content = _table(builder, 3, {1: picture}, {0: ("Uint8", _IMAGE)})
    stats = _table(builder, 2, {0: _floats(builder, 255.0), 1: _floats(builder, 0.0)})
    taken = _table(
        builder,
        7,
        {
            0: text("pictures"),
            1: text("RGB pictures, 0 to 255"),
            3: content,
            4: _vector(builder, unit),
            5: stats,
        },
    )
    labels = _table(
        builder,
        5,
        {0: text(LABELS_FILE), 1: text("names of the classes")},
        {2: ("Int8", _AXIS_LABELS)},
    )
    bounds = _table(builder, 2, {0: _floats(builder, 1.0), 1: _floats(builder, 0.0)})
    given = _table(
        builder,
        7,
        {
            0: text("probabilities"),
            1: text("of each class"),
            5: bounds,
            6: _vector(builder, labels),
        },
    )
    graph = _table(builder, 10, {2: _vector(builder, taken), 3: _vector(builder, given)})
    model = _table(
        builder,
        8,
        {
            0: text(name),
            1: text(description),
            2: text("1"),
            3: _vector(builder, graph),
            7: text(_PARSER_VERSION),
        },
    )
    builder.Finish(model, _IDENTIFIER)
    return bytes(builder.Output())


def _table(
    builder: flatbuffers.Builder,
    slots: int,
    offsets: Mapping[int, int],
    numbers: Mapping[int, tuple[str, int]] | None = None,
) -> int:
    """Write a table; by the number of its slot, what lies elsewhere and what lies in it."""
    builder.StartObject(slots)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, (kind, value) in (numbers or {}).items():
        getattr(builder, f"Prepend{kind}Slot")(slot, value, 0)
    return builder.EndObject()


def _vector(builder: flatbuffers.Builder, offset: int) -> int:
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _floats(builder: flatbuffers.Builder, value: float) -> int:
    builder.StartVector(4, 1, 4)
    builder.PrependFloat32(value)
    return builder.EndVector()
