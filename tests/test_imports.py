"""The import rules of the package, read from the code. They know no exceptions."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys

import pytest
from support.code import (
    ROOT,
    circles,
    imports,
    modules,
    names_imported,
    room_of,
)

import tfxfer

# A plain `import tfxfer`, its help and its reports load none of these.
HEAVY = {"tensorflow", "keras", "sklearn", "jax", "h5py", "tensorflow_datasets"}
LIGHT_ROOMS = ("errors", "config", "records", "run", "report")


def short(module: str) -> str:
    return module.removeprefix("tfxfer.")


def test_no_two_rooms_import_each_other():
    """`tfxfer/__init__` is left out: it is the door to all rooms."""
    used = {
        (room_of(module), room_of(other))
        for module, others in imports().items()
        for other in others
        if "tfxfer" not in (module, other)
    }
    pairs = {f"{a} <-> {b}" for a, b in used if a < b and (b, a) in used}
    assert not pairs


def test_no_modules_import_each_other_in_a_circle():
    assert not circles()


def test_only_the_tables_of_kinds_import_a_modality_or_a_task():
    """`tfxfer/__init__` gives users the names that they build with, and imports nothing else."""
    found = {
        f"{short(module)} -> {room_of(other)}"
        for module, others in imports().items()
        for other in others
        if room_of(other).startswith(("modalities", "tasks"))
        and room_of(module) != room_of(other)
        and module not in ("tfxfer", "tfxfer.kinds")
    }
    assert not found


def test_reports_read_records_only():
    read = {
        f"{short(module)} -> {short(other)}"
        for module, others in imports().items()
        for other in others
        if room_of(module) == "report" and room_of(other) not in ("report", "records", "run")
    }
    assert not read


def test_light_rooms_load_no_tensorflow():
    light = [name for name in modules() if room_of(name) in LIGHT_ROOMS]
    assert len(light) > len(LIGHT_ROOMS)
    assert not heavy_after(f"import {', '.join(light)}")


def test_importing_and_help_load_no_tensorflow():
    code = (
        "import tfxfer, tfxfer.commands.main\n"
        "for arguments in (['--help'], ['train', '--help'], ['presets']):\n"
        "    try: tfxfer.commands.main.main(arguments)\n"
        "    except SystemExit as stop: assert stop.code == 0\n"
    )
    assert not heavy_after(code)


def heavy_after(code: str) -> set[str]:
    """Return which of the heavy packages a new Python has loaded when it has run some code."""
    code += f"\nimport sys; print(*({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("name", ["train", "tune"])
def test_a_command_stays_a_function_when_its_module_is_imported(name):
    """Type checkers see a function too: the name comes by an import that they read."""
    code = f"import tfxfer.{name}, tfxfer, inspect; assert inspect.isfunction(tfxfer.{name})"
    assert not heavy_after(code)
    assert inspect.isfunction(getattr(tfxfer, name))
    assert f"tfxfer.commands.{name}.{name}" in names_imported(modules()["tfxfer"])


def test_the_library_has_no_assert_and_no_bare_except():
    for name, tree in modules().items():
        for node in ast.walk(tree):
            assert not isinstance(node, ast.Assert), name
            assert not (isinstance(node, ast.ExceptHandler) and node.type is None), name


WRITTEN = [
    *(path for folder in ("tests", "tools") for path in (ROOT / folder).rglob("*.py")),
    *ROOT.glob("*.md"),
]
# In the text, since tests start programs that they hold as strings.
IMPORT = re.compile(
    r"""^\s*(?:["'f]+|.*; )?from (tfxfer[.\w]*) import (?:\(([^()]+)\)|([\w, ]+))""", re.MULTILINE
)


@pytest.mark.parametrize("path", sorted(WRITTEN), ids=lambda path: path.stem)
def test_what_tools_tests_and_documents_import_is_there(path):
    for module, *wanted in IMPORT.findall(path.read_text(encoding="utf-8")):
        assert module in modules(), f"{module}: no such module"
        for name in filter(None, re.split(r"[,\s]+", re.sub(r" as \w+", "", "".join(wanted)))):
            known = f"{module}.{name}" in modules() or name in names_defined(modules()[module])
            assert known, f"{module} has no {name}"


def names_defined(module: ast.Module) -> set[str]:
    """Return the names that a module gives to others: definitions, assignments and imports."""
    found = {
        alias.asname or alias.name
        for node in ast.walk(module)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            found |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return found
