"""Tests that OpenVINO is imported without its telemetry, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys
def refuse(*_):
    raise SystemExit("a process was forked")
os.register_at_fork(before=refuse)
from tfxfer.machine.openvino import import_openvino
ov = import_openvino()
assert ov is sys.modules["openvino"] and ov is import_openvino()
from openvino.tools import ovc
assert "stub" in sys.modules[type(ovc.telemetry).__module__].__name__, type(ovc.telemetry)
assert "openvino_telemetry" not in sys.modules
import openvino_telemetry
"""


def test_openvino_tells_nobody_that_it_was_imported(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env={"HOME": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
