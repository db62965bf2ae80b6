"""Presets, and the overrides ``key=value`` that turn them into a config.

This module imports no TensorFlow.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from tfxfer.config.config import Config, DataSettings, is_table, validate
from tfxfer.config.former import read_former
from tfxfer.errors import InputError, nearest

_PACKAGE = Path(__file__).parent.parent
PRESET_FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")

# A whole network with random weights needs a lower rate than a new head.
_SCRATCH_RATE = 2e-3


def list_presets() -> dict[str, Path]:
    """Map each preset's name to its file, in the wheel or beside the package."""
    folder = next((folder for folder in PRESET_FOLDERS if folder.is_dir()), PRESET_FOLDERS[0])
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_config(
    preset: str | Path,
    *,
    data: str | Path | None = None,
    backbone: str | None = None,
    weights: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Config:
    """Read a preset and apply overrides to it.

    Args:
        preset: A preset's name or the path of a TOML file, such as a run's ``config.toml``.
        data: A new ``data.source``.
        backbone: A network that replaces the whole ``[backbone]`` table, at its own size.
        weights: New ``backbone.weights``; ``"none"`` makes every phase train everything.
        settings: Other values by dotted key. A phase is named by its name or its number from 0:
            ``{"phases.fine-tune.unfreeze": 4}``.

    Returns:
        The config.

    Raises:
        InputError: A preset or a key is unknown (the error names the most similar one), or a value
            breaks a rule.

    Example:
        >>> import tfxfer
        >>> config = tfxfer.load_config("birds", settings={"phases.fine-tune.unfreeze": 4})
        >>> config.phases[-1].unfreeze
        4
    """
    path = _find_preset(str(preset))
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(
            f"A preset must be a readable TOML file. Received: {path}: {error}."
        ) from error
    table = read_former(table)
    if backbone is not None:
        table["backbone"] = {"name": backbone}
    for key, value in {"data.source": data, "backbone.weights": weights}.items():
        if value is not None:
            set_value(table, key, str(value))
    if weights == "none":
        train_everything(table)
    _check_settings(settings)
    for key, value in (settings or {}).items():
        set_value(table, key, value)
    return validate(table, str(path), Config)


def load_data_settings(
    data: str | Path | None, settings: Mapping[str, Any] | None = None
) -> DataSettings:
    """Return the settings of a command that looks at data and trains nothing.

    Args:
        data: The value of ``data.source``.
        settings: Other values by dotted key, of the tables ``[data]``, ``[augmentation]`` and
            ``[features]``.

    Raises:
        InputError: A key is unknown (the error names the most similar one), or a value breaks a
            rule.
    """
    _check_settings(settings)
    table: dict[str, Any] = {}
    for key, value in {"data.source": data and str(data), **(settings or {})}.items():
        set_value(table, key, value)
    return validate(table, "What the data are read with", DataSettings)


def _check_settings(settings: Mapping[str, Any] | None) -> None:
    if settings is None:
        return
    if not isinstance(settings, Mapping) or not all(isinstance(key, str) for key in settings):
        raise InputError(
            "settings must map dotted keys to values. Received: "
            f"{settings!r}. Write settings={{'data.batch_size': 16}}, say."
        )


def dump_config(config: Config) -> str:
    """Write a config as TOML that `load_config` reads back to the same config."""
    return tomli_w.dumps(config.model_dump(exclude_none=True))


def parse_setting(text: str) -> tuple[str, Any]:
    """Divide ``key=value``; the value is read as TOML if possible, else as a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set takes key=value. Received: {text!r}. Example: --set seed=1")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def set_value(table: dict[str, Any], key: str, value: Any) -> None:
    """Set one value in nested tables by its dotted key; phases have a name or a number."""
    if isinstance(value, Mapping) and is_table(key):
        raise InputError(
            "--set takes the key of a value, such as phases.0.epochs. Received: a table for "
            f"{key!r}, which would replace all of it. Set each value by itself: "
            f"{key}.{next(iter(value), 'KEY')}=…"
        )
    *parents, last = key.split(".")
    current: Any = table
    for parent in parents:
        if isinstance(current, list):
            current = _phase(current, parent, key)
        elif isinstance(current, dict):
            current = current.setdefault(parent, {})
    if not isinstance(current, dict):
        raise InputError(
            f"--set takes the key of a value, such as phases.0.epochs. Received: {key!r}."
        )
    current[last] = value


def add_settings(parser: argparse.ArgumentParser, about: str) -> None:
    """Declare ``--set``, whose values `parse_setting` splits.

    Args:
        parser: The parser of the command.
        about: The help text, which says what can be set.
    """
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="extend",
        nargs="+",
        default=[],
        help=about,
    )


def _find_preset(preset: str) -> Path:
    presets = list_presets()
    if preset in presets:
        return presets[preset]
    if preset.endswith(".toml"):
        if Path(preset).is_file():
            return Path(preset)
        raise InputError(f"A preset file must exist. Received: {preset!r}, which is not there.")
    raise InputError(
        f"preset must be one of {', '.join(presets)}, or a .toml file. "
        f"Received: preset={preset!r}.{nearest(preset, presets)} `tfxfer presets` lists them."
    )


def _phase(phases: list[dict[str, Any]], which: str, key: str) -> dict[str, Any]:
    if not all(isinstance(phase, dict) for phase in phases):
        raise InputError(f"phases must be a list of tables. Received: phases={phases!r}.")
    names = [str(phase.get("name")) for phase in phases]
    if which in names:
        return phases[names.index(which)]
    if which.isdecimal() and int(which) < len(phases):
        return phases[int(which)]
    raise InputError(
        f"A phase is named by {', '.join(names)} or a number from 0 to {len(phases) - 1}. "
        f"Received: {key!r}.{nearest(which, names)}"
    )


def train_everything(table: dict[str, Any]) -> None:
    """Let every phase train the whole network, because random weights are not worth freezing."""
    phases = table.get("phases")
    for phase in phases if isinstance(phases, list) else []:
        if not isinstance(phase, dict):
            continue
        rate = min(phase.get("learning_rate", _SCRATCH_RATE), _SCRATCH_RATE)
        phase.update(unfreeze="all", batch_norm="train", layer_decay=1.0, learning_rate=rate)
