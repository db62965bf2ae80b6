"""The name under which a model is served; it stands in addresses, settings and file names.

This module imports no TensorFlow.
"""

from __future__ import annotations

import re
from pathlib import Path

from tfxfer.errors import InputError

_ALLOWED = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")


def check_name(name: str) -> None:
    """Refuse a name that cannot stand in an address.

    Raises:
        InputError: The name has other signs.
    """
    if not _ALLOWED.fullmatch(name):
        raise InputError(
            "--name must consist of letters a to z, digits, and the signs . _ - between them, "
            f"because it is part of an address. Received: {name!r}. Write --name "
            f"{_clean(name)}, say."
        )


def default_name(folder: Path) -> str:
    """Return the name of a run's model: its folder's name without date and time."""
    return _clean(re.sub(r"-\d{8}-\d{6}$", "", folder.resolve().name))


def _clean(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "model"
