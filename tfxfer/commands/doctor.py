"""The command ``tfxfer doctor``, which looks at the installation."""

from __future__ import annotations

import argparse

from rich.markup import escape
from rich.table import Table

from tfxfer.commands.checks import CHECKS
from tfxfer.errors import first_line
from tfxfer.records.checks import Check
from tfxfer.report.console import make_console

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def doctor(quiet: bool = False) -> tuple[Check, ...]:
    """Check versions, backend, devices, arithmetic, engines, caches, free space and hubs.

    Args:
        quiet: Whether nothing is printed.

    Returns:
        The results of the checks, with a fix for each problem. A check that fails is a problem,
        too.

    Example:
        for check in tfxfer.doctor(quiet=True):
            print(check.name, check.status, check.fix)
    """
    console = make_console(quiet)
    found: list[Check] = []
    for check in CHECKS:
        name = check.__name__.removeprefix("check_")
        with console.status(f"Looking at {name}"):
            try:
                found += check()
            except Exception as error:  # A broken installation may raise any error.
                fix = "install tfxfer anew in a fresh virtual environment"
                found.append(
                    Check(name, f"cannot be looked at ({first_line(error)})", "error", fix)
                )
    table = Table("", "found", "what to do", box=None)
    for each in found:
        colour = _COLOURS[each.status]
        table.add_row(f"[{colour}]{each.name}[/]", escape(each.found), escape(each.fix), style=None)
    console.print(table)
    counts = {status: sum(each.status == status for each in found) for status in _COLOURS}
    console.print(f"{counts['error']} errors, {counts['warning']} warnings")
    return tuple(found)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line: there are none."""


def call(arguments: argparse.Namespace) -> int:
    """Run the command; return 1 if a check found an error, else 0."""
    return int(any(each.status == "error" for each in doctor()))
