"""A Python `tf.data.Dataset`, which is written into the cache once and then read as files."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfxfer.cache.digest import digest
from tfxfer.cache.folder import UNFINISHED, locate, make_folder
from tfxfer.cache.in_use import hold
from tfxfer.config.data import DataConfig
from tfxfer.config.places import ALLOWED_SOURCES
from tfxfer.data.items import FileSet
from tfxfer.data.listing import Listing
from tfxfer.errors import InputError, nearest
from tfxfer.kinds import MODALITIES
from tfxfer.sources.label_lists import LabelList, to_arrays
from tfxfer.task import Tasks

PREFIX, _INDEX, FOLDER = "dataset:", "dataset.json", "datasets"
_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
_CHANNELS = (1, 3)
_ENDINGS = {"JPEG": "jpg", "PNG": "png", "BMP": "bmp", "WebP": "webp"}


def write_dataset(data: Any, cache_dir: str | None, class_names: Sequence[str] = ()) -> str:
    """Write the pictures of a data set into the cache, and return the source that names them.

    Decoded pictures become PNG files of 8 bits; encoded ones are kept as they are. The folder is
    named by its content, so that the same pictures in another order give the same folder.

    Args:
        data: A `tf.data.Dataset` of ``(picture, label)``, or a mapping of ``train``,
            ``validation`` and ``test`` to such data sets. A picture is an encoded scalar string, or
            ``[height, width]``, ``[height, width, 1]`` or ``[height, width, 3]``, 0…255. A label
            is a class number, a name, or a row of zeros and ones. Batches of pictures (rank 4) or
            of strings (rank 1) are taken apart.
        cache_dir: The folder of the cache, as in `FeaturesConfig`.
        class_names: The classes by number. If it is empty, the data set's own ``class_names`` are
            taken, if it has any.

    Returns:
        The source, ``dataset:FOLDER``.

    Raises:
        InputError: The data set is infinite or empty, or gives other things than such pairs.
    """
    splits = _name_splits(data)
    class_names = class_names or tuple(getattr(splits["train"], "class_names", ()) or ())
    root = locate(cache_dir).absolute() / FOLDER
    make_folder(root)
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=root))
    try:
        listed = {name: _write_split(split, name, unfinished) for name, split in splits.items()}
        labels = {name: [label for _, label in rows] for name, rows in listed.items()}
        classes, _, found = to_arrays(_undo_one_hot(labels), class_names)
        index = {
            "classes": classes,
            "splits": {
                name: {"files": [file for file, _ in rows], "labels": found[name].tolist()}
                for name, rows in listed.items()
            },
        }
        text = json.dumps(index)
        (unfinished / _INDEX).write_text(text, encoding="utf-8")
        place = root / digest(text)
        if not place.is_dir():
            os.replace(unfinished, place)
        hold(place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return f"{PREFIX}{place}"


def list_dataset(config: DataConfig, cache: Path, tasks: Tasks) -> Listing:
    """List the pictures that `write_dataset` wrote, and keep them while this process lives.

    Raises:
        InputError: The folder is gone.
    """
    folder = Path(str(config.source).removeprefix(PREFIX))
    hold(folder)
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            "dataset:FOLDER must name pictures that tfxfer wrote for a tf.data.Dataset. Received: "
            f"{str(folder)!r}, which cannot be read. Train on the data set in Python again, or "
            "copy the folder from where it was made."
        ) from error
    classes = tuple(index["classes"])
    are_rows = any(_has_rows(split["labels"]) for split in index["splits"].values())
    task, dtype = (tasks["several"], np.int8) if are_rows else (tasks["classes"], np.int64)
    listed = {}
    for name, split in index["splits"].items():
        paths = tuple(str(folder / file) for file in split["files"])
        listed[name] = FileSet(paths, task.read(np.array(split["labels"], dtype)))
    return Listing(str(config.source), classes, task, listed, config.row)


def _has_rows(labels: Sequence[Any]) -> bool:
    return bool(labels) and isinstance(labels[0], list)


def _name_splits(data: Any) -> dict[str, tf.data.Dataset]:
    given = dict(data) if isinstance(data, Mapping) else {"train": data}
    splits = {}
    for name, dataset in given.items():
        if name not in _SPLITS or "train" not in given:
            raise InputError(
                "A mapping of data sets has the keys train, validation and test, of which train "
                f"must be there. Received: {', '.join(map(str, given))}."
                f"{nearest(str(name), _SPLITS)} Name them so."
            )
        if not isinstance(dataset, tf.data.Dataset):
            raise InputError(
                f"data must be {ALLOWED_SOURCES}; in Python also a tf.data.Dataset, or a mapping "
                f"of splits to data sets. Received: {type(dataset).__name__}. "
                "Wrap arrays with tf.data.Dataset.from_tensor_slices((pictures, labels))."
            )
        if _SPLITS[name] in splits:
            raise InputError("Received: both validation and val. Give one data set a split.")
        splits[_SPLITS[name]] = _take_apart(dataset, name)
    return splits


def _take_apart(dataset: tf.data.Dataset, name: str) -> tf.data.Dataset:
    """Return a data set of single pictures; elements that are clearly batches are taken apart."""
    spec = dataset.element_spec
    if not (isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[0], tf.TensorSpec)):
        raise InputError(
            f"A data set must give pairs (picture, label). Received: {spec} of the {name} data "
            "set. Map it to such pairs."
        )
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise InputError(
            f"A data set must end. Received: an infinite {name} data set. Leave out .repeat(), or "
            "add .take(COUNT)."
        )
    picture, class_names = spec[0], getattr(dataset, "class_names", None)
    rank = picture.shape.rank
    if rank == (1 if picture.dtype == tf.string else 4):
        dataset = dataset.unbatch()
        if class_names:
            dataset.class_names = class_names
    elif rank is not None and rank not in ((0,) if picture.dtype == tf.string else (2, 3)):
        raise InputError(
            "A picture is a scalar string or [height, width, 3]. Received: "
            f"{picture} in the {name} data set. Take batches apart with .unbatch()."
        )
    elif rank == 3 and picture.shape[-1] not in (None, *_CHANNELS):
        raise InputError(
            "A picture is [height, width, 3], [height, width, 1] or [height, width]. Received: "
            f"{picture} in the {name} data set. Take batches apart with .unbatch(), and add a "
            "last axis to grey pictures."
        )
    return dataset


def _write_split(
    dataset: tf.data.Dataset, name: str, folder: Path
) -> list[tuple[str, LabelList | np.ndarray]]:
    """Write a split's pictures; return the file and label of each, in the order of the names."""
    (folder / name).mkdir()
    rows: list[tuple[str, LabelList | np.ndarray]] = []
    seen: dict[str, int] = {}
    brightest, are_floats = 0.0, False
    for position, (picture, label) in enumerate(dataset.as_numpy_iterator()):
        where = f"picture {position} of the {name} data set"
        if isinstance(picture, np.ndarray):
            if picture.size and picture.dtype.kind == "f":
                are_floats, brightest = True, max(brightest, float(picture.max()))
            encoded = _encode(picture, where)
        else:
            encoded = picture
        ending = _ENDINGS.get(MODALITIES["pictures"].sniff(encoded[:16]) or "", "bin")
        name_of = digest(encoded)
        seen[name_of] = seen.get(name_of, 0) + 1
        file = f"{name}/{name_of}-{seen[name_of]}.{ending}"
        (folder / file).write_bytes(encoded)
        rows.append((file, _read_label(label, where)))
    if not rows:
        raise InputError(f"A data set must hold pictures. Received: none in the {name} data set.")
    if are_floats and brightest <= 1:
        raise InputError(
            "Pictures of floats must be 0…255. Received: no value above "
            f"{brightest:g} in the {name} data set. Multiply them by 255."
        )
    return sorted(rows, key=lambda row: row[0])


def _encode(picture: np.ndarray, where: str) -> bytes:
    pixels = picture[..., None] if picture.ndim == 2 else picture
    if pixels.ndim != 3 or pixels.shape[-1] not in _CHANNELS or not pixels.size:
        raise InputError(
            "A picture is [height, width, 3], [height, width, 1] or [height, width]. Received: "
            f"{picture.shape}, {where}. Reshape it, or take batches apart with .unbatch()."
        )
    if pixels.dtype.kind not in "uif" or not (pixels.min() >= 0 and pixels.max() <= 255):
        raise InputError(
            "Pixels must be numbers in 0…255. Received: "
            f"{pixels.dtype} from {pixels.min()} to {pixels.max()}, {where}. Scale them."
        )
    return tf.io.encode_png(np.rint(pixels).astype(np.uint8)).numpy()


def _read_label(label: Any, where: str) -> LabelList | np.ndarray:
    """Return a label as a tuple with one entry, or a row of zeros and ones as an array."""
    if isinstance(label, bytes):
        return (label.decode("utf-8", "replace"),)
    value = np.asarray(label)
    if value.ndim == 0 and value.dtype.kind in "iub":
        return (int(value),)
    if value.ndim == 1 and value.dtype.kind in "iubf" and np.isin(value, (0, 1)).all():
        return value.astype(np.int64)
    raise InputError(
        "A label is a class number, a name, or a row of zeros and ones. Received: "
        f"{value.dtype} of shape {value.shape}, {where}. Map labels to one of these."
    )


def _undo_one_hot(labels: Mapping[str, Sequence[Any]]) -> dict[str, list[LabelList]]:
    """Turn rows into class numbers if each has exactly one 1; otherwise list the ones of each."""
    rows = [row for split in labels.values() for row in split]
    are_rows = [isinstance(row, np.ndarray) for row in rows]
    if not any(are_rows):
        return {name: list(split) for name, split in labels.items()}
    widths = {len(row) for row in rows}
    if not all(are_rows) or len(widths) != 1:
        raise InputError(
            "Labels must all be of one kind, and rows of one length. Received: "
            f"rows of {sorted(widths)}. Map labels to rows of zeros and ones, one place a class."
        )
    if all(row.sum() == 1 for row in rows):
        return {name: [(int(row.argmax()),) for row in split] for name, split in labels.items()}
    return {
        name: [tuple(np.flatnonzero(row).tolist()) for row in split]
        for name, split in labels.items()
    }
