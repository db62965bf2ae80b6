"""The settings of the items, their reading and their splits. This imports no TensorFlow."""

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
    """How the items of a source and their labels are read."""

    data_dir: str | None = None  # the folder of TensorFlow Datasets; None takes their default
    on_bad: OnBad = "fail"

    # These are the columns of a manifest, and the folders in which its relative paths are looked
    # for, in order; without roots, the paths lie beside the manifest.
    path_column: str = "path"
    label_column: str = "label"
    split_column: str = "split"
    roots: tuple[str, ...] = ()
    # If this is set, items have several labels, which it separates.
    label_separator: str | None = Field(None, min_length=1)

    # TensorFlow Datasets and TFRecord files have features with the encoded picture and the label.
    # If labels are numbers, the classes need names.
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
    """Which items are for training, which for choices, and which for the final evaluation."""

    # Splits of TensorFlow Datasets are expressions such as "train[:80%]"; those of TFRecord files
    # are patterns of files.
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    # If the source lacks a split, this share of the training items is taken for it.
    validation_fraction: float = Field(0.15, gt=0, lt=0.5)
    test_fraction: float = Field(0.15, gt=0, lt=0.5)
    # "hash" decides by each item's name, so that no item moves when others are added.
    by: SplitBy = "random"
    # Items of one group go into one split. Groups are a manifest's column, or what an expression
    # matches in an item's path below the source: its first parenthesis or, without one, all of it.
    group_column: str | None = None
    group_pattern: str | None = None
    # Cross-validation does a whole run for each fold (`training/folds.py`), or for one of them.
    folds: int | None = Field(None, ge=2, le=100)
    fold: int | None = Field(None, ge=1)  # a number from 1; None trains all folds
    shots: int | None = Field(None, ge=1)  # the training items of each class; None takes all
    # Validation items are trained on as well, with the settings that an earlier run chose on them.
    train_on_validation: bool = False
    # Training items that are copies of validation or test items are left out.
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
    """The items of a run, how they are read, and how they are divided into splits."""

    # The source is one of `places.SOURCES`. Folders, manifests and TFRecord files may lie at an
    # address that `tf.io.gfile` reads (gs://…).
    source: str | None = None
    modality: str = "pictures"  # the kind of the items, a key of `kinds.MODALITIES`
    batch_size: int = Field(32, ge=1, le=65536)
    # The way of balancing classes of different sizes (`tasks/balance.py`).
    balance: Balance = "none"
    reading: ReadingConfig = ReadingConfig()
    split: SplitConfig = SplitConfig()

    @property
    def row(self) -> Modality:
        """The row of the modality."""
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


# The former keys of [data], in the order in which they were written, and the present key of each
# one below [data].
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
