"""What the library's code says of itself: its modules, their rooms, imports and functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "tfxfer"


@cache
def modules() -> dict[str, ast.Module]:
    """Return the tree of each module of the library, by the module's name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return found


def room_of(module: str) -> str:
    """Return the folder that a module belongs to; a module at the top is a room of its own.

    Each modality is a room: ``tfxfer.modalities.pictures.view`` lies in ``modalities.pictures``.
    """
    parts = module.split(".")[1:]
    if parts[:1] == ["modalities"]:
        return ".".join(parts[:2])
    return parts[0] if parts else ""


def _walk(tree: ast.AST, into_functions: bool) -> Iterator[ast.AST]:
    """Yield everything in a tree except what type checkers alone read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.FunctionDef) and not into_functions:
            continue
        yield node
        yield from _walk(node, into_functions)


def names_imported(tree: ast.AST, into_functions: bool = True) -> Iterator[str]:
    """The dotted names in all import statements, those inside functions too unless told so."""
    for node in _walk(tree, into_functions):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"relative import in line {node.lineno}")
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def rows() -> set[str]:
    """Return the modules of the rows that `kinds.py` lists."""
    listed = map(_module_of, names_imported(modules().get("tfxfer.kinds", ast.Module([], []))))
    return {name for name in listed if name and room_of(name) not in ("modality", "task")}


@cache
def imports() -> dict[str, set[str]]:
    """Return the modules of the library that each of its modules imports.

    What a row imports inside its methods does not count: a row stands below the rooms that ask it,
    and above those that it asks when it is called.
    """
    return {
        name: {
            module
            for imported in names_imported(tree, into_functions=name not in rows())
            if (module := _module_of(imported)) and module != name
        }
        for name, tree in modules().items()
    }


def _module_of(name: str) -> str | None:
    """Return the module that a dotted name is or lies in; None where it is not of the library."""
    if name in modules():
        return name
    package = name.rpartition(".")[0]
    return package if package in modules() else None


def circles() -> list[list[str]]:
    """Return the sets of modules that import each other in a circle, however long it is.

    `tfxfer/__init__` is left out: Python imports it before any of its modules.
    """
    reached = {module: _reach(module) for module in imports()}
    found = {
        tuple(sorted(other for other in reach if module in reached[other]))
        for module, reach in reached.items()
        if module in reach
    }
    return sorted(map(list, found))


def _reach(module: str) -> set[str]:
    """Return all modules that a module leads to; itself only where it lies on a circle."""
    found: set[str] = set()
    ahead = list(imports()[module])
    while ahead:
        if (other := ahead.pop()) not in found | {"tfxfer"}:
            found.add(other)
            ahead += imports()[other]
    return found


def functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield each function's name, with its classes' before it, and its positional parameters.

    The first parameter of a method is left out.
    """
    for node in ast.iter_child_nodes(tree):
        name = inside
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{inside}.{node.name}".lstrip(".")
            given = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
            is_static = any(
                getattr(mark, "id", "") == "staticmethod" for mark in node.decorator_list
            )
            is_method = isinstance(tree, ast.ClassDef) and not is_static
            yield name, given[1:] if is_method else given
        elif isinstance(node, ast.ClassDef):
            name = f"{inside}.{node.name}".lstrip(".")
        yield from functions(node, name)
