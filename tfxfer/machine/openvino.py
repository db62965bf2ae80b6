"""OpenVINO, imported without its telemetry. This module imports neither."""

from __future__ import annotations

import importlib
import sys
from typing import Any

_TELEMETRY = "openvino_telemetry"


def import_openvino() -> Any:
    """Import OpenVINO and return its module.

    By itself, it tells a server that it was imported, from a process that it forks, unless its
    package for that is missing. So that package is hidden while OpenVINO is imported.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    hidden = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[_TELEMETRY]
        if hidden is not None:
            sys.modules[_TELEMETRY] = hidden
