"""Pictures from TensorFlow Datasets, among them the embedded field guide."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from tfxfer.config.data import DataConfig
from tfxfer.data.items import ItemSet
from tfxfer.data.listing import EXAMPLES, Listing
from tfxfer.errors import InputError, find_full_disk, first_line, nearest
from tfxfer.machine.network import describe_network
from tfxfer.sources.label_lists import Listed, to_labels
from tfxfer.sources.tfds_set import TfdsSet, tfds_read_config
from tfxfer.sources.tfds_splits import choose_splits, name_examples
from tfxfer.task import Tasks

_TIMEOUT_S = 20


def list_embedded(config: DataConfig, cache: Path, tasks: Tasks) -> Listing:
    """List the field guide's birds, which are rendered on first use."""
    if config.source != "embedded:birds":
        raise InputError(f"The embedded data are embedded:birds. Received: data={config.source!r}.")
    builder = config.row.list_embedded(config)
    return _list(builder, config, tasks)


def list_tfds(config: DataConfig, cache: Path, tasks: Tasks) -> Listing:
    """List a TensorFlow Dataset by its name, such as ``tfds:oxford_flowers102``.

    The data set is downloaded and prepared unless that was done before.

    Raises:
        InputError: There is no such data set, it has no pictures with labels, or it is not
            prepared and cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    name = str(config.source).removeprefix("tfds:")
    try:
        builder = tfds.builder(name, data_dir=config.reading.data_dir)
    # An unknown version raises AssertionError, a bad name ValueError, and so on.
    except Exception as error:
        raise InputError(
            "data=tfds:NAME must name a TensorFlow Dataset (tensorflow.org/datasets/catalog) or "
            f"one that is prepared in data_dir. Received: tfds:{name}."
            f"{nearest(name, tfds.list_builders())} ({first_line(error)})"
        ) from error
    return _list(builder, config, tasks)


def _list(builder: Any, config: DataConfig, tasks: Tasks) -> Listing:
    keys = _find_keys(builder, config)
    _prepare(builder)
    expressions, notes = choose_splits(builder, config)
    names = {name: name_examples(builder, text) for name, text in expressions.items()}
    read = {
        name: _read_labels(builder, text, keys[1], bool(names[name]))
        for name, text in expressions.items()
    }
    feature = _feature_at(builder, keys[1])
    own_names = getattr(getattr(feature, "feature", feature), "names", None)
    if isinstance(next(iter(read.values())), np.ndarray) and own_names:
        task = tasks["classes"]
        labels = {name: task.read(numbers) for name, numbers in read.items()}
        listed = Listed(tuple(own_names), task, labels)
    else:
        known = config.reading.class_names or tuple(own_names or ())
        listed = to_labels(read, tasks, known)
    splits: dict[str, ItemSet] = {
        name: TfdsSet(builder, text, keys[0], listed.labels[name], names=names[name])
        for name, text in expressions.items()
    }
    source = f"{config.source} ({builder.info.full_name} in {builder.data_path.parent})"
    return Listing(source, listed.classes, listed.task, splits, config.row, tuple(notes), EXAMPLES)


def _find_keys(builder: Any, config: DataConfig) -> tuple[str, str]:
    """Return the names of the picture feature and of the label feature.

    They are the chosen ones, the supervised keys, or the only features of these kinds. A name such
    as ``"objects/label"`` means a feature of a sequence.
    """
    import tensorflow_datasets as tfds

    features = builder.info.features
    names = builder.info.supervised_keys or tuple(features)
    items = [name for name in names if isinstance(features[name], tfds.features.Image)]
    labels = [name for name in names if _is_class_label(features[name])]
    picture_key, label_key = config.reading.picture_key, config.reading.label_key
    if picture_key:
        items = [picture_key]
    if label_key:
        labels = [label_key]
    for role, chosen in (("picture", picture_key), ("label", label_key)):
        if chosen and _feature_at(builder, chosen) is None:
            raise InputError(
                f"data.reading.{role}_key must name a feature of the data set. Received: "
                f"{role}_key={chosen!r}; {builder.info.full_name} has {', '.join(features)}."
                f"{nearest(chosen, features)}"
            )
    if len(items) != 1 or len(labels) != 1:
        raise InputError(
            "A TensorFlow Dataset must give one picture and one class label an example. "
            f"Received: {builder.info.full_name} with {', '.join(map(str, names))}. "
            "Name them with data.reading.picture_key and data.reading.label_key, take another data "
            "set, or write its pictures into class folders."
        )
    if not isinstance(_feature_at(builder, items[0]), tfds.features.Image):
        raise InputError(
            "data.reading.picture_key must name a picture. Received: "
            f"picture_key={items[0]!r}, which is none in {builder.info.full_name}. "
            f"Its features are {', '.join(features)}."
        )
    return items[0], labels[0]


def _is_class_label(feature: Any) -> bool:
    """Return whether a feature holds one class label, or a sequence of them."""
    import tensorflow_datasets as tfds

    return isinstance(getattr(feature, "feature", feature), tfds.features.ClassLabel)


def _feature_at(builder: Any, key: str) -> Any:
    """Return a feature by its name, or by ``"sequence/name"``; None if there is no such feature."""
    feature: Any = builder.info.features
    for part in key.split("/"):
        inner = getattr(feature, "feature", feature)
        if part not in (inner if hasattr(inner, "keys") else ()):
            return None
        feature = inner[part]
    return feature


def _prepare(builder: Any) -> None:
    """Download and prepare a data set unless that was done before."""
    import tensorflow_datasets as tfds

    if len(builder.info.splits) > 0:
        return
    # The folders are nested as in full_name: name/version or name/config/version.
    root = builder.data_path.parents[builder.info.full_name.count("/")]
    tfds.disable_progress_bar()
    try:
        _check_hosts(builder)
        builder.download_and_prepare()
    # The downloader passes on errors of any type from its HTTP client and its archive readers.
    except Exception as error:
        if find_full_disk(error):
            raise
        raise InputError(
            f"{builder.info.full_name} is not prepared and could not be downloaded. Tried: "
            f"{first_line(error)}\n"
            f"{describe_network()}Without a network, copy a prepared {builder.info.full_name} "
            f"folder into {root} (or name its place with "
            "--set data.reading.data_dir=…), give --data FOLDER, or train the preset that needs no "
            "download: python -m tfxfer.train --preset birds"
        ) from error


def _check_hosts(builder: Any) -> None:
    """Ask each host once: the downloader would try an unreachable one for over three minutes."""
    import requests

    for host in {urlsplit(url)[:2]: url for url in builder.url_infos or ()}.values():
        requests.get(host, stream=True, timeout=_TIMEOUT_S).close()


def _read_labels(builder: Any, split: str, label_key: str, in_file_order: bool) -> Any:
    """Read a split's labels without its pictures, in the order in which they are stored.

    Returns:
        ``[pictures]`` int64 class numbers, or a list with the labels of each picture.
    """
    import tensorflow_datasets as tfds

    parts = label_key.split("/")
    wanted: Any = True
    for part in reversed(parts):
        wanted = {part: wanted}
    dataset = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding(wanted),
        read_config=tfds_read_config(in_file_order),
    )
    for part in parts:
        dataset = dataset.map(lambda example, part=part: example[part])
    if isinstance(_feature_at(builder, label_key), tfds.features.ClassLabel) and len(parts) == 1:
        return np.concatenate([b.numpy() for b in dataset.batch(1024)]).astype(np.int64)
    lists = (np.atleast_1d(value).tolist() for value in dataset.as_numpy_iterator())
    return [tuple(x.decode() if isinstance(x, bytes) else x for x in each) for each in lists]
