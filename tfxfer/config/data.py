"""Which pictures a run takes, and how they are read, parted and changed. Imports no TensorFlow."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tfxfer.config.places import SOURCE_PREFIXES, is_address, to_place
from tfxfer.config.table import Table, absolute
from tfxfer.errors import InputError, nearest
from tfxfer.kinds import MODALITIES
from tfxfer.modality import Modality


class DataConfig(Table):
    """Which pictures, and how they are read."""

    # A folder of class folders; a manifest (.csv, .tsv, .parquet, .jsonl); an archive of a folder
    # (.zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz); "tfds:NAME", "tfrecord:PATTERN",
    # "arrayrecord:PATTERN" or "embedded:birds". Folders, manifests and records may lie where
    # `tf.io.gfile` reads (gs://…).
    source: str | None = None
    modality: str = "pictures"  # what the items are: a key of `kinds.MODALITIES`
    data_dir: str | None = None  # where TensorFlow Datasets are prepared; None: their default
    batch_size: int = Field(32, ge=1, le=65536)
    on_bad: Literal["fail", "quarantine"] = "fail"
    # Training pictures that are copies of validation or test pictures are left out.
    fix_leaks: bool = False

    # Of a manifest: names of its columns, and where its relative paths are looked for, one root
    # after the other; none: beside the manifest.
    path_column: str = "path"
    label_column: str = "label"
    split_column: str = "split"
    roots: tuple[str, ...] = ()
    # Several labels a picture, parted by this.
    label_separator: str | None = Field(None, min_length=1)

    # Of TFDS and records. Splits: TFDS expressions such as "train[:80%]"; patterns of files of
    # records. The features that hold the encoded picture and the label, and the classes' names
    # where labels are numbers.
    train_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    picture_key: str | None = None
    label_key: str | None = None
    class_names: tuple[str, ...] = ()

    # Shares of the training pictures, cut where the source has no such split.
    validation_fraction: float = Field(0.15, gt=0, lt=0.5)
    test_fraction: float = Field(0.15, gt=0, lt=0.5)
    # "hash": by each picture's name, so that no picture moves when others are added.
    split_by: Literal["random", "hash"] = "random"
    # Pictures of one group go into one split: a manifest's column, or an expression that matches
    # in a picture's path below the source; its first group, or all of it, names the group.
    group_column: str | None = None
    group_pattern: str | None = None
    # Cross-validation: a whole run for each fold (tfxfer/training/folds.py), or one of them alone.
    folds: int | None = Field(None, ge=2, le=100)
    fold: int | None = Field(None, ge=1)  # from 1; None: all of them
    shots: int | None = Field(None, ge=1)  # training pictures of each class; None: all
    # Train on the validation pictures as well, with what an earlier run has chosen on them.
    train_on_validation: bool = False
    # What is done about classes of different sizes (tasks/balance.py).
    balance: Literal["none", "class_weights", "sampling", "logit_adjustment"] = "none"

    @property
    def row(self) -> Modality:
        """The row of what the items are."""
        return MODALITIES[self.modality]

    @field_validator("modality")
    @classmethod
    def _is_known(cls, modality: str) -> str:
        if modality not in MODALITIES:
            raise InputError(
                f"modality must be one of {', '.join(MODALITIES)}. Received: "
                f"modality={modality!r}.{nearest(modality, MODALITIES)}"
            )
        return modality

    @field_validator("source", "data_dir")
    @classmethod
    def _isabsolute(cls, value: str | None) -> str | None:
        prefix, _, pattern = (value or "").partition(":")
        if prefix in ("tfrecord", "arrayrecord") and pattern and not is_address(pattern):
            return f"{prefix}:{absolute(pattern)}"
        if value is None or value.startswith(SOURCE_PREFIXES):
            return value
        if not value.strip():
            raise InputError(
                "a folder, a file, tfds:NAME or embedded:birds is needed. Received: ''."
            )
        return to_place(value)

    @field_validator("roots")
    @classmethod
    def _are_absolute(cls, roots: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(to_place(root) for root in roots)

    @field_validator("group_pattern")
    @classmethod
    def _is_an_expression(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise InputError(
                "group_pattern must be a regular expression, such as '/(bird\\d+)_'. Received: "
                f"group_pattern={pattern!r} ({error})."
            ) from error
        return pattern

    @model_validator(mode="after")
    def _is_one_of_the_folds(self) -> DataConfig:
        if self.fold is not None and self.fold > (self.folds or 0):
            raise InputError(
                "fold names one of the folds, from 1 to data.folds. Received: "
                f"fold={self.fold}, folds={self.folds}. Leave it out to train all of them."
            )
        return self

    @model_validator(mode="after")
    def _several_labels_go_with_it(self) -> DataConfig:
        if self.label_separator is not None and (self.balance != "none" or self.shots):
            raise InputError(
                "balance and shots need one label a picture. Received: "
                f"label_separator={self.label_separator!r}, balance={self.balance!r}, "
                f"shots={self.shots}. Leave them out."
            )
        if self.group_column and self.group_pattern:
            raise InputError(
                "Groups come from a column or from a pattern. Received: "
                f"group_column={self.group_column!r}, group_pattern={self.group_pattern!r}. "
                "Leave one of them out."
            )
        return self
