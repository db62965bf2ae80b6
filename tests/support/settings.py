"""Settings of data that tests name by the last part of their keys."""

from __future__ import annotations

from typing import Any

from tfxfer.config.data import DataConfig, ReadingConfig, SplitConfig


def data_key(name: str) -> str:
    """The dotted key of a setting, such as ``data.split.folds``."""
    group = {"reading": ReadingConfig, "split": SplitConfig}
    return next((f"data.{k}.{name}" for k, t in group.items() if name in t.model_fields),
                f"data.{name}")  # fmt: skip


def data_config(**settings: Any) -> DataConfig:
    """Settings of data, each in the table that has a key of its name."""
    tables: dict[str, dict[str, Any]] = {"data": {}, "data.reading": {}, "data.split": {}}
    for name, value in settings.items():
        table, _, key = data_key(name).rpartition(".")
        tables[table][key] = value
    return DataConfig(**tables["data"], reading=tables["data.reading"], split=tables["data.split"])
