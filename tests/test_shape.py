"""The measure of the package, read from the code: folders, functions and words."""

from __future__ import annotations

import ast

from support.code import PACKAGE, ROOT, functions, modules

# A reader should see a folder at a glance, and read a call without counting its arguments.
ROOT_MODULES = 12
FILES = 15
POSITIONAL_PARAMETERS = 5


def test_few_modules_lie_at_the_top():
    assert len(list(PACKAGE.glob("*.py"))) <= ROOT_MODULES


def test_folders_are_small():
    folders = [
        folder
        for top in (PACKAGE, ROOT / "tests")
        for folder in (top, *top.rglob("*"))
        if folder.is_dir() and folder.name != "__pycache__"
    ]
    full = {
        str(folder.relative_to(ROOT))
        for folder in folders
        if sum(path.is_file() for path in folder.iterdir()) > FILES
    }
    assert not full


def test_functions_take_few_positional_parameters():
    wide = {
        f"{module.removeprefix('tfxfer.')}: {name}"
        for module, tree in modules().items()
        for name, parameters in functions(tree)
        if len(parameters) > POSITIONAL_PARAMETERS
    }
    assert not wide


def test_code_asks_labels_instead_of_their_form():
    """`has_several` asks "are there several labels?" where a label object would answer."""
    asking = {
        module.removeprefix("tfxfer.")
        for module, tree in modules().items()
        if "has_several" in words(tree)
    }
    assert not asking


def words(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        for attribute in ("id", "attr", "name", "arg"):
            found.add(getattr(node, attribute, None))
    return found
