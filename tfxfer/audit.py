"""Look at pictures before training: ``tfxfer audit DATA``.

Imports no TensorFlow before it is called.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from tfxfer import runtime
from tfxfer.data.settings import is_among_pictures
from tfxfer.errors import InputError
from tfxfer.presets import add_settings, load_config, parse_setting
from tfxfer.report.console import make_console

if TYPE_CHECKING:
    from tfxfer.data.looks import Audit


def audit_data(
    data: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
) -> Audit:
    """Look at every file of a folder, a manifest or an archive; nothing in it is changed.

    Args:
        data: what `tfxfer.train` takes as ``data``, if it has files.
        settings: other values by dotted key, such as ``{"data.label_column": "species"}``.
        out: a folder for ``audit.json`` and contact sheets; None: none are written.
        quiet: print nothing.

    Raises:
        InputError: the data cannot be listed, or `out` lies among them.
    """
    config = load_config("photos", data=data, settings=settings)
    if out is not None and is_among_pictures(out, config.data.source):
        raise InputError(
            "--out must lie outside of the folder of pictures, in which nothing is changed. "
            f"Received: {str(out)!r} in {str(data)!r}. Name a folder elsewhere."
        )
    console = make_console(quiet)
    with console.status("Starting TensorFlow"):
        runtime.import_tensorflow()
    from tfxfer.data.audit import audit_files
    from tfxfer.data.sources import list_files
    from tfxfer.features import cache
    from tfxfer.progress import counting_pictures
    from tfxfer.report.audit import print_audit, write_audit

    listing = list_files(config.data)
    folder = cache.locate(config.features.cache_dir)
    with counting_pictures(console, "Looking at the pictures") as show:
        found = audit_files(listing.source, listing.classes, listing.splits, folder, show)
    print_audit(console, found)
    for note in listing.notes:
        console.print(f"[yellow]note[/] {escape(note)}")
    if out is not None:
        with console.status("Drawing contact sheets"):
            written = write_audit(Path(out), found)
        console.print(
            f"wrote {', '.join(path.name for path in written)} to {escape(str(out))}",
            soft_wrap=True,
        )
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument("data", metavar="DATA", help="a folder, a manifest or an archive")
    parser.add_argument("--out", metavar="DIR", help="write audit.json and contact sheets there")
    add_settings(parser, "how the data are read, such as data.label_column=species")


def call(arguments: argparse.Namespace) -> int:
    """Do what a parsed command line asks for; 1 where a run would fail or its figures flatter."""
    settings = dict(parse_setting(text) for text in arguments.settings)
    found = audit_data(arguments.data, settings=settings, out=arguments.out)
    return int(bool(found.faults or found.leaks or found.conflicts))
