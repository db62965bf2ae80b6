"""Which items a run takes, and how they are read and parted. Imports no TensorFlow."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tfxfer.config.places import to_place, to_source
from tfxfer.config.table import Table
from tfxfer.errors import InputError, nearest
from tfxfer.kinds import MODALITIES
from tfxfer.modality import Modality

OnBad = Literal["fail", "quarantine"]
SplitBy = Literal["random", "hash"]
Balance = Literal["none", "class_weights", "sampling", "logit_adjustment"]


class ReadingConfig(Table):
    """How the items of a source are read, and what says what they are."""

    data_dir: str | None = None  # where TensorFlow Datasets are prepared; None: their default
    on_bad: OnBad = "fail"

    # Of a manifest: names of its columns, and where its relative paths are looked for, one root
    # after the other; none: beside the manifest.
    path_column: str = "path"
    label_column: str = "label"
    split_column: str = "split"
    roots: tuple[str, ...] = ()
    # Several labels a picture, parted by this.
    label_separator: str | None = Field(None, min_length=1)

    # Of TFDS and records: the features that hold the encoded picture and the label, and the
    # classes' names where labels are numbers.
    picture_key: str | None = None
    label_key: str | None = None
    class_names: tuple[str, ...] = ()

    @field_validator("data_dir")
    @classmethod
    def _is_absolute(cls, value: str | None) -> str | None:
        return to_source(value)

    @field_validator("roots")
    @classmethod
    def _are_absolute(cls, roots: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(to_place(root) for root in roots)


class SplitConfig(Table):
    """Which items are trained on, which choose, and which are looked at once, in the end."""

    # Of TFDS and records: TFDS expressions such as "train[:80%]"; patterns of files of records.
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    # Shares of the training pictures, cut where the source has no such split.
    validation_fraction: float = Field(0.15, gt=0, lt=0.5)
    test_fraction: float = Field(0.15, gt=0, lt=0.5)
    # "hash": by each picture's name, so that no picture moves when others are added.
    by: SplitBy = "random"
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
    # Training pictures that are copies of validation or test pictures are left out.
    fix_leaks: bool = False

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
    def _is_one_of_the_folds(self) -> SplitConfig:
        if self.fold is not None and self.fold > (self.folds or 0):
            raise InputError(
                "fold names one of the folds, from 1 to data.split.folds. Received: "
                f"fold={self.fold}, folds={self.folds}. Leave it out to train all of them."
            )
        return self

    @model_validator(mode="after")
    def _groups_come_from_one_place(self) -> SplitConfig:
        if self.group_column and self.group_pattern:
            raise InputError(
                "Groups come from a column or from a pattern. Received: "
                f"group_column={self.group_column!r}, group_pattern={self.group_pattern!r}. "
                "Leave one of them out."
            )
        return self


class DataConfig(Table):
    """Which items a run takes; how they are read, and how they are parted."""

    # One of `places.SOURCES`. Folders, manifests and records may lie where `tf.io.gfile` reads
    # (gs://…).
    source: str | None = None
    modality: str = "pictures"  # what the items are: a key of `kinds.MODALITIES`
    batch_size: int = Field(32, ge=1, le=65536)
    # What is done about classes of different sizes (tasks/balance.py).
    balance: Balance = "none"
    reading: ReadingConfig = ReadingConfig()
    split: SplitConfig = SplitConfig()

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

    @field_validator("source")
    @classmethod
    def _is_absolute(cls, value: str | None) -> str | None:
        return to_source(value)

    @model_validator(mode="after")
    def _several_labels_go_with_it(self) -> DataConfig:
        separator, shots = self.reading.label_separator, self.split.shots
        if separator is not None and (self.balance != "none" or shots):
            raise InputError(
                "balance and shots need one label a picture. Received: "
                f"label_separator={separator!r}, balance={self.balance!r}, "
                f"shots={shots}. Leave them out."
            )
        return self


# The keys of [data] before they were grouped, in the order in which they were written, and where
# each one is now, below [data].
FORMER_KEYS = {
    "source": "source",
    "data_dir": "reading.data_dir",
    "batch_size": "batch_size",
    "on_bad": "reading.on_bad",
    "fix_leaks": "split.fix_leaks",
    "path_column": "reading.path_column",
    "label_column": "reading.label_column",
    "split_column": "reading.split_column",
    "roots": "reading.roots",
    "label_separator": "reading.label_separator",
    "train_split": "split.train",
    "validation_split": "split.validation",
    "test_split": "split.test",
    "picture_key": "reading.picture_key",
    "label_key": "reading.label_key",
    "class_names": "reading.class_names",
    "validation_fraction": "split.validation_fraction",
    "test_fraction": "split.test_fraction",
    "split_by": "split.by",
    "group_column": "split.group_column",
    "group_pattern": "split.group_pattern",
    "folds": "split.folds",
    "fold": "split.fold",
    "shots": "split.shots",
    "train_on_validation": "split.train_on_validation",
    "balance": "balance",
}
