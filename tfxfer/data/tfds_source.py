"""Pictures from TensorFlow Datasets, the embedded field guide among them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import numpy as np

from tfxfer.config import DataConfig
from tfxfer.data.pictures import PictureData, TfdsSet
from tfxfer.data.splits import complete_splits
from tfxfer.errors import InputError, first_line, nearest

_TIMEOUT_S = 20
_SPLITS = ("train", "validation", "test")


def load_embedded(config: DataConfig, seed: int) -> PictureData:
    """Load the field guide's birds, which are rendered on first use."""
    from tfxfer.data.fieldguide.builder import prepare_fieldguide

    if config.source != "embedded:birds":
        raise InputError(f"The embedded data are embedded:birds. Received: data={config.source!r}.")
    builder = prepare_fieldguide(config.data_dir)
    return _load(builder, config, seed)


def load_tfds(config: DataConfig, seed: int) -> PictureData:
    """Load a TensorFlow Dataset by its name, such as ``tfds:oxford_flowers102``.

    It is read where it was prepared, and downloaded and prepared where it was not.

    Raises:
        InputError: no such data set, no pictures with one label each, or it is not prepared and
            cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    name = str(config.source).removeprefix("tfds:")
    try:
        builder = tfds.builder(name, data_dir=config.data_dir)
    # An unknown version is an AssertionError, a bad name a ValueError, and so on.
    except Exception as error:
        raise InputError(
            "data=tfds:NAME must name a TensorFlow Dataset (tensorflow.org/datasets/catalog) or "
            f"one that is prepared in data_dir. Received: tfds:{name}."
            f"{nearest(name, tfds.list_builders())} ({first_line(error)})"
        ) from error
    return _load(builder, config, seed)


def _load(builder: Any, config: DataConfig, seed: int) -> PictureData:
    keys = _find_keys(builder)
    _prepare(builder)
    available = [name for name in _SPLITS if name in builder.info.splits]
    if "train" not in available:
        raise InputError(
            "A TensorFlow Dataset needs a split `train`. Received: "
            f"{builder.info.full_name} with {', '.join(builder.info.splits)}."
        )
    classes = tuple(builder.info.features[keys[1]].names)
    splits = {
        name: TfdsSet(builder, name, keys, _read_labels(builder, name, keys[1]))
        for name in available
    }
    completed, notes = complete_splits(splits, classes, config, seed)
    return PictureData(
        source=f"{config.source} ({builder.info.full_name} in {builder.data_path.parent})",
        classes=classes,
        train=completed["train"],
        validation=completed["validation"],
        test=completed["test"],
        notes=notes,
    )


def _find_keys(builder: Any) -> tuple[str, str]:
    """Names of the picture and of the label feature: the supervised keys, or the only such two."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    names = builder.info.supervised_keys or tuple(features)
    pictures = [name for name in names if isinstance(features[name], tfds.features.Image)]
    labels = [name for name in names if isinstance(features[name], tfds.features.ClassLabel)]
    if len(pictures) != 1 or len(labels) != 1:
        raise InputError(
            "A TensorFlow Dataset must give one picture and one class label an example. "
            f"Received: {builder.info.full_name} with {', '.join(map(str, names))}. "
            "Take another data set, or write its pictures into class folders."
        )
    return pictures[0], labels[0]


def _prepare(builder: Any) -> None:
    """Download and prepare a data set unless that was done before."""
    import tensorflow_datasets as tfds

    if len(builder.info.splits) > 0:
        return
    # full_name is name/version or name/config/version, as the folders are.
    root = builder.data_path.parents[builder.info.full_name.count("/")]
    tfds.disable_progress_bar()
    try:
        _check_hosts(builder)
        builder.download_and_prepare()
    # The downloader raises whatever its HTTP client or an archive's reader does.
    except Exception as error:
        raise InputError(
            f"{builder.info.full_name} is not prepared and could not be downloaded. Tried: "
            f"{first_line(error)}\n"
            f"Without a network, copy a prepared {builder.info.full_name} folder into "
            f"{root} (or name its place with "
            "--set data.data_dir=…), give --data FOLDER, or train the preset that needs no "
            "download: python -m tfxfer.train --preset birds"
        ) from error


def _check_hosts(builder: Any) -> None:
    """Ask each host once: the downloader itself tries an unreachable one for over three minutes."""
    import requests

    for host in {urlsplit(url)[:2]: url for url in builder.url_infos}.values():
        requests.get(host, stream=True, timeout=_TIMEOUT_S).close()


def _read_labels(builder: Any, split: str, label_key: str) -> np.ndarray:
    """Read a split's labels, without its pictures, in the order in which they are stored."""
    import tensorflow_datasets as tfds

    dataset = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding({label_key: True}),
        read_config=tfds.ReadConfig(try_autocache=False),
    ).batch(1024)
    return np.concatenate([batch[label_key].numpy() for batch in dataset]).astype(np.int64)
