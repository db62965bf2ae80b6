"""Every script of `tools/` can be imported and says what it takes."""

from __future__ import annotations

import runpy
import sys

import pytest
from support.small import ROOT

TOOLS = sorted((ROOT / "tools").glob("*.py"))


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.stem)
def test_a_tool_prints_its_help(tool, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(tool), "--help"])
    monkeypatch.syspath_prepend(str(tool.parent))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(tool), run_name="__main__")
    assert not ended.value.code
    assert "usage: " in capsys.readouterr().out
