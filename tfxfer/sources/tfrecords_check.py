"""The first look at every record of a file: whether it holds a picture, and which labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tfxfer.errors import InputError, nearest
from tfxfer.kinds import MODALITIES
from tfxfer.records.plans import BadFile
from tfxfer.sources.label_lists import LabelList
from tfxfer.sources.tfrecords_files import name_tfrecord, read_tfrecords

_PICTURES = MODALITIES["pictures"]
_PICTURE_KEYS = ("image/encoded", "image")
_LABEL_KEYS = ("image/class/label", "label")


@dataclass(frozen=True)
class TFRecords:
    """The content of some files.

    Attributes:
        counts: The number of records of each file.
        places: ``[records with a picture]`` int64, their places counted through all files.
        labels: The labels of these records.
        bad: The other records, with the reasons.
    """

    counts: tuple[int, ...]
    places: np.ndarray
    labels: tuple[LabelList, ...]
    bad: tuple[BadFile, ...]


def list_tfrecords(kind: str, files: Sequence[str], keys: tuple[str, str]) -> TFRecords:
    """Read some files once, one record at a time, without decoding a picture.

    Args:
        kind: ``"tfrecord:"`` or ``"arrayrecord:"``.
        files: The paths of the files.
        keys: The names of the picture feature and of the label feature.

    Raises:
        InputError: A file is truncated or corrupt.
    """
    counts: list[int] = []
    before = 0
    places: list[int] = []
    labels: list[LabelList] = []
    bad: list[BadFile] = []
    for path in files:
        number = 0
        for record in read_tfrecords(kind, path):
            fault, found = _read(record, keys)
            if fault is None:
                places.append(before + number)
                labels.append(found)
            else:
                bad.append(BadFile(name_tfrecord(path, number), fault))
            number += 1
        counts.append(number)
        before += number
    return TFRecords(tuple(counts), np.array(places, np.int64), tuple(labels), tuple(bad))


def find_keys(
    record: bytes, where: str, picture_key: str | None, label_key: str | None
) -> tuple[str, str]:
    """Return the names of the picture feature and of the label feature, as chosen or as customary.

    Args:
        record: The first record.
        where: Its file, for the error.
        picture_key, label_key: The chosen names; None looks for customary names.

    Raises:
        InputError: The record is no `tf.train.Example`, or it is unclear which feature is meant.
    """
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError as error:
        raise InputError(
            "Records must be tf.train.Example messages. Received: others in "
            f"{where!r}. Write them with tf.train.Example(…).SerializeToString()."
        ) from error
    label = label_key or next((key for key in _LABEL_KEYS if key in features), None)
    names = sorted(features)
    if picture_key is None:
        picture_key = _choose_picture(features, where)
    # A label that is missing in the first record may be an empty list of labels.
    for role, key, is_there in (
        ("picture", picture_key, picture_key in features),
        ("label", label, label is not None),
    ):
        if not is_there:
            hint = nearest(key, names) if key else ""
            raise InputError(
                f"data.reading.{role}_key must name the feature that holds the {role}. Received: "
                f"{role}_key={key!r}; the first record of {where!r} has {', '.join(names)}.{hint} "
                f"Set data.reading.{role}_key to one of them."
            )
    return str(picture_key), str(label)


def _choose_picture(features: Mapping[str, Any], where: str) -> str | None:
    """Return the feature with a customary name, or the only picture; None if there is no picture.

    Raises:
        InputError: More than one feature may be meant.
    """
    pictures = sorted(key for key in features if _is_picture(features[key]))
    customary = [key for key in _PICTURE_KEYS if key in features and _is_bytes(features[key])]
    # A picture with a customary name may be broken. If no other feature can be meant, the record
    # is reported as broken later.
    if customary and (customary[0] in pictures or not pictures):
        return customary[0]
    if not customary and len(pictures) < 2:
        return pictures[0] if pictures else None
    found = ", ".join(map(repr, pictures))
    broken = f"; {customary[0]!r} holds none that can be read" if customary else ""
    raise InputError(
        "A record must hold one picture, or one that is called "
        f"{' or '.join(map(repr, _PICTURE_KEYS))}. Received: pictures in {found} of the first "
        f"record of {where!r}{broken}. Set data.reading.picture_key to the feature that is meant."
    )


def _is_bytes(feature: Any) -> bool:
    """Return whether a feature may hold a picture; a feature without values has no kind."""
    return feature.WhichOneof("kind") in (None, "bytes_list")


def _is_picture(feature: Any) -> bool:
    values = feature.bytes_list.value
    return len(values) == 1 and _PICTURES.sniff(values[0][:16]) is not None


def _read(record: bytes, keys: tuple[str, str]) -> tuple[str | None, LabelList]:
    """Return the reason why a record holds no picture with labels, or None, and its labels."""
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        return "no tf.train.Example", ()
    picture_key, label_key = keys
    pictures: Sequence[bytes] = ()
    if picture_key in features:
        pictures = features[picture_key].bytes_list.value
    if len(pictures) != 1:
        return f"{len(pictures)} pictures in the feature {picture_key!r}; one is needed", ()
    labels: LabelList | None = ()
    if label_key in features:
        labels = _labels_of(features[label_key])
    if labels is None:
        return f"the feature {label_key!r} holds no int64 numbers and no UTF-8 names", ()
    return None, labels


def _labels_of(feature: Any) -> LabelList | None:
    if feature.WhichOneof("kind") == "float_list":
        return None
    try:
        names = tuple(value.decode() for value in feature.bytes_list.value)
    except UnicodeDecodeError:
        return None
    return names or tuple(feature.int64_list.value)
