"""The metadata of a LiteRT file: names, ranges and class names, which tools on phones read.

The format is TFLite Metadata, https://ai.google.dev/edge/litert/models/metadata: a flatbuffer
inside the model's own flatbuffer, and the class names in a zip archive behind it.
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
# Readers look for a buffer of this name whose content has this identifier.
_BUFFER = b"TFLITE_METADATA"
_IDENTIFIER = b"M001"
# This is the oldest version of the schema that has all the fields below.
_MIN_PARSER_VERSION = "1.0.0"
# These are numbers of the schema's enumerations.
_RGB = 1
_IMAGE_PROPERTIES = 2
_FEATURE_PROPERTIES = 1
_NORMALIZATION_OPTIONS = 1
_TENSOR_AXIS_LABELS = 2


def add_metadata(model: Any, classes: Sequence[str], size_px: int, name: str) -> bytes:
    """Name a model's input and output, describe both, and append the class names.

    Args:
        model: A `ModelT` of LiteRT's schema with one input and one output; it is changed.
        classes: The class names in the order of the probabilities.
        size_px: The side of the input pictures.
        name: A description of the model for people.

    Returns:
        The file's content: a model that any LiteRT reads, and a zip with ``labels.txt`` after it.

    Raises:
        InputError: A class name holds a line break, so that it cannot stand in a list of lines.
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
        # A fixed time, the default of `ZipInfo`, makes the same model the same file every time.
        archive.writestr(zipfile.ZipInfo(LABELS), labels)
    return file.getvalue()


def load_labels(path: Path) -> tuple[str, ...] | None:
    """Read the class names that a LiteRT file holds; None if it holds none.

    Other tools may give the list another name: if there is a single text file, it is taken.
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
        # Only a line feed ends a name; the name may hold other characters that end lines.
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
    """Return the metadata of a model, a `ModelMetadata` table of the schema."""
    side = Number("Uint32", size_px)
    image = {0: Number("Int8", _RGB), 1: {0: side, 1: side}}
    items = {
        0: "pictures",
        1: f"RGB pictures of {size_px} x {size_px}, 0 to 255; the model preprocesses them itself.",
        3: {0: Number("Uint8", _IMAGE_PROPERTIES), 1: image},
        # The caller's normalization is (x - 0) / 1, which leaves pictures as they are.
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
        3: [{2: [items], 3: [probabilities]}],
        7: _MIN_PARSER_VERSION,
    }
