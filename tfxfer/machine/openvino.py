"""OpenVINO, imported without its telemetry, and TensorFlow's functions as its models.

This module itself imports neither.
"""

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


def convert_openvino(traced: Any) -> Any:
    """Convert a concrete function, which has to outlive it, to an OpenVINO model."""
    ov = import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.tensorflow.graph_iterator import GraphIteratorTFGraph

    # `openvino.convert_model` is not used, because it reports calls to a server unless it is told
    # not to, and fails on Python 3.13 (openvino 2026.4.1).
    operations = GraphIteratorTFGraph(traced.graph, share_weights=True)
    frontend = FrontEndManager().load_by_framework("tf")
    loaded = frontend.load(operations)  # The conversion reads the operations, which must live.
    converted = frontend.convert(loaded)
    # OpenVINO also counts unread tensors as outputs, which would keep it from fusing layers.
    results = [converted.output(tensor.name).get_node() for tensor in traced.outputs]
    return ov.Model(results, converted.get_parameters())
