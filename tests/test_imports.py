"""The import rules of the package, read from the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tfxfer"

# A module may import its own level and those below; the longest matching prefix counts.
LEVELS = {
    "errors": 0,
    "tables": 0,
    "callable_module": 0,
    "config": 0,
    "presets": 0,
    "records": 0,
    "notes": 0,
    "run": 0,
    "backbones.families": 0,
    "backbones.settings": 0,
    "data.settings": 0,
    "data.looks": 0,
    "search.settings": 0,
    "search.folder": 0,
    "search.ranking": 0,
    "devices": 1,
    "runtime": 1,
    "progress": 1,
    "compiled": 1,
    "distribution": 1,
    "data": 1,
    "backbones": 1,
    "heads": 1,
    "features": 1,
    "phases": 2,
    "evaluation": 2,
    "calibration": 2,
    "temperature": 2,
    "intervals": 2,
    "class_figures": 2,
    "export": 3,
    "saved": 3,
    "teacher": 3,
    "judge": 3,
    "prediction": 3,
    "job": 4,
    "training": 4,
    "folds": 4,
    "train": 4,
    "preview": 4,
    "audit": 4,
    "checks": 4,
    "doctor": 4,
    "predict": 4,
    "export_run": 4,
    "distill": 4,
    "search": 4,
    "tune": 4,
    "evaluate": 4,
    "evaluating": 4,
    "cli": 5,
    "__main__": 5,
}
HEAVY = {"tensorflow", "keras", "tensorflow_datasets", "sklearn", "h5py"}
# What `import tfxfer` and `--help` load; they start in a moment.
LIGHT = {"", "errors", "config", "presets", "records", "run", "runtime", "train", "cli"}
LIGHT |= {
    "__main__",
    "tables",
    "callable_module",
    "backbones",
    "backbones.families",
    "backbones.settings",
    "saved",
}
LIGHT |= {"devices", "data.settings", "data.looks", "data.copies", "preview", "audit", "evaluate"}
LIGHT |= {
    "doctor",
    "checks",
    "records.checks",
    "predict",
    "export_run",
    "distill",
    "prediction.places",
    "prediction.rows",
    "prediction.write_rows",
}
LIGHT |= {f"records.{name}" for name in ("evaluations", "exports", "plans", "results", "searches")}
LIGHT |= {
    "report.exports",
    "report",
    "report.console",
    "report.sheets",
    "report.audit",
    "report.evaluation",
}
LIGHT |= {
    "data",
    "features",
    "features.store",
    "features.store.table",
    "features.store.shards",
    "features.store.cache",
    "phases",
    "export",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(path: Path, at_top_only: bool) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_top_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def level_of(module: str) -> int | None:
    known = [name for name in LEVELS if module == name or module.startswith(name + ".")]
    return LEVELS[max(known, key=len)] if known else None


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_modules_import_downwards_only(path):
    own = level_of(module_name(path))
    if own is None:
        assert module_name(path).split(".")[0] in {"", "report"}
        return
    for imported in imports_of(path, at_top_only=False):
        if imported.startswith("tfxfer."):
            other = level_of(imported.removeprefix("tfxfer."))
            assert other is None or other <= own, f"{module_name(path)} imports {imported}"


@pytest.mark.parametrize("path", [p for p in MODULES if module_name(p) in LIGHT], ids=module_name)
def test_light_modules_load_no_tensorflow(path):
    heavy = {name.split(".")[0] for name in imports_of(path, at_top_only=True)} & HEAVY
    assert not heavy


def test_reports_read_records_only():
    for path in (PACKAGE / "report").glob("*.py"):
        for imported in imports_of(path, at_top_only=False):
            if imported.startswith("tfxfer."):
                name = imported.removeprefix("tfxfer.")
                assert name.startswith("report.") or level_of(name) == 0


def test_the_library_has_no_assert_and_no_bare_except():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.Assert), path
            assert not (isinstance(node, ast.ExceptHandler) and node.type is None), path


def test_importing_and_help_do_not_load_tensorflow():
    code = (
        "import sys, tfxfer, tfxfer.commands.main, tfxfer.train\n"
        "assert callable(tfxfer.train)\n"
        "try: tfxfer.train.main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'tensorflow', 'keras', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
