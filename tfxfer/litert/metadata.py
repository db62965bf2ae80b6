"""What a LiteRT file says of itself: names, ranges and class names, where phones' tools look.

The format is that of TFLite Metadata, https://ai.google.dev/edge/litert/models/metadata: a
flatbuffer in the model's own, and the class names in a zip behind it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tfxfer
from tfxfer.errors import InputError
from tfxfer.litert.file import Number, Table, import_litert, pack_model, pack_table

LABELS = "labels.txt"
# The name of the buffer that readers look for, and the identifier of its content.
_BUFFER = b"TFLITE_METADATA"
_IDENTIFIER = b"M001"
# The oldest version of the schema that has all the fields below.
_MIN_PARSER_VERSION = "1.0.0"
# Numbers of the schema's enumerations.
_RGB = 1
_IMAGE_PROPERTIES = 2
_FEATURE_PROPERTIES = 1
_NORMALIZATION_OPTIONS = 1
_TENSOR_AXIS_LABELS = 2


def add_metadata(model: Any, classes: Sequence[str], size_px: int, name: str) -> bytes:
    """Name a model's input and output, describe both, and lay the class names behind it.

    Args:
        model: `ModelT` of LiteRT's schema with one input and one output; it is changed.
        classes: class names in the order of the probabilities.
        size_px: side of the input pictures.

    Returns:
        The file's content: a model that any LiteRT reads, and a zip with ``labels.txt`` after it.

    Raises:
        InputError: a class name holds a line break, so that it cannot stand in a list of lines.
    """
    schema = import_litert("schema_py_generated")
    labels = _join_labels(classes)
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].name = "pictures"
    graph.tensors[graph.outputs[0]].name = "probabilities"
    model.description = name
    content = pack_table(_describe(name, len(classes), size_px), _IDENTIFIER)
    model.metadata = [each for each in model.metadata or [] if each.name != _BUFFER]
    model.metadata.append(schema.MetadataT(name=_BUFFER, buffer=len(model.buffers)))
    model.buffers.append(schema.BufferT(data=content))
    file = io.BytesIO(pack_model(model))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        # With a time of its own, the same model would be another file each time.
        archive.writestr(zipfile.ZipInfo(LABELS), labels)
    return file.getvalue()


def load_labels(path: Path) -> tuple[str, ...] | None:
    """Read the class names that stand in a LiteRT file; None where it holds none.

    Files of other tools may call them otherwise: the one text file there is counts.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [each for each in archive.namelist() if each.endswith(".txt")]
            if LABELS not in texts and len(texts) != 1:
                return None
            content = archive.read(LABELS if LABELS in texts else texts[0])
    except zipfile.BadZipFile:
        return None
    try:
        # Nothing but a line feed ends a name: it may hold what else ends lines.
        return tuple(content.decode("utf-8").removesuffix("\n").split("\n"))
    except UnicodeDecodeError:
        return None


def _join_labels(classes: Sequence[str]) -> bytes:
    broken = [each for each in classes if "\n" in each]
    if broken:
        raise InputError(
            "A LiteRT file holds its class names in lines, so none may have a line break. "
            f"Received: {broken[0]!r}. Rename the class and train again, or export another format."
        )
    return "".join(f"{each}\n" for each in classes).encode("utf-8")


def _describe(name: str, class_count: int, size_px: int) -> Table:
    """The metadata of a model: a `ModelMetadata` of the schema."""
    side = Number("Uint32", size_px)
    image = {0: Number("Int8", _RGB), 1: {0: side, 1: side}}
    pictures = {
        0: "pictures",
        1: f"RGB pictures of {size_px} x {size_px}, 0 to 255; the model preprocesses them itself.",
        3: {0: Number("Uint8", _IMAGE_PROPERTIES), 1: image},
        # What is to be done before: (x - 0) / 1.
        4: [{0: Number("Uint8", _NORMALIZATION_OPTIONS), 1: {0: [0.0], 1: [1.0]}}],
        5: {0: [255.0], 1: [0.0]},
    }
    labels = {0: LABELS, 1: "Class names, one a line.", 2: Number("Int8", _TENSOR_AXIS_LABELS)}
    probabilities = {
        0: "probabilities",
        1: f"Probability of each of the {class_count} classes.",
        3: {0: Number("Uint8", _FEATURE_PROPERTIES), 1: {}},
        5: {0: [1.0], 1: [0.0]},
        6: [labels],
    }
    return {
        0: name,
        1: f"Tells {class_count} classes of pictures apart. Made by tfxfer {tfxfer.__version__}.",
        2: tfxfer.__version__,
        3: [{2: [pictures], 3: [probabilities]}],
        7: _MIN_PARSER_VERSION,
    }
