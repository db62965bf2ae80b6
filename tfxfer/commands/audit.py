"""The command ``tfxfer audit DATA``, which looks at pictures before training.

This module imports TensorFlow only when it is called.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from tfxfer.config.places import ALLOWED_SOURCES, is_among_items
from tfxfer.config.presets import add_settings, load_data_settings, parse_setting
from tfxfer.errors import InputError
from tfxfer.machine import runtime
from tfxfer.report.console import make_console

if TYPE_CHECKING:
    from tfxfer.records.audits import Audit


def audit_data(
    data: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
) -> Audit:
    """Look at every picture of a source, and report faults, copies and oddities.

    Nothing in the source is changed.

    Args:
        data: The data, as in `tfxfer.train`.
        settings: Other values by dotted key, such as ``{"data.reading.label_column": "species"}``;
            with ``{"augmentation.flip": False}``, mirror images are no copies.
        out: A folder for ``audit.json`` and contact sheets; with None, nothing is written.
        quiet: Whether nothing is printed.

    Raises:
        InputError: The data cannot be listed, or `out` lies among them.

    Example:
        >>> import tempfile
        >>> import tfxfer
        >>> from tfxfer.modalities.pictures.fieldguide.folder import write_bird_folder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_bird_folder(folder, species=2, pictures=3)
        ...     found = tfxfer.audit_data(folder, quiet=True)
        >>> len(found.looks), len(found.faults)
        (6, 0)
    """
    config = load_data_settings(data, settings)
    if out is not None and is_among_items(out, config.data.source):
        raise InputError(
            "--out must lie outside of the folder of pictures, in which nothing is changed. "
            f"Received: {str(out)!r} in {str(data)!r}. Name a folder elsewhere."
        )
    console = make_console(quiet)
    with console.status("Starting TensorFlow"):
        runtime.import_tensorflow()
    from tfxfer.cache.folder import locate
    from tfxfer.data.audit import audit_listing, read_items
    from tfxfer.data.make import find_refusal
    from tfxfer.kinds import TASKS
    from tfxfer.machine.progress import counting_items
    from tfxfer.report.audit import print_audit, write_audit
    from tfxfer.sources.sources import list_items

    folder = locate(config.features.cache_dir)
    with console.status("Listing the pictures"):
        listing = list_items(config.data, TASKS, folder)
    with counting_items(console, "Looking at the pictures") as show:
        found = audit_listing(listing, config.augmentation.mirrors, folder, show)
    found = replace(found, refusal=find_refusal(listing, found, config.data))
    print_audit(console, found)
    for note in listing.notes:
        console.print(f"[yellow]note[/] {escape(note)}")
    if out is not None:
        with console.status("Drawing contact sheets"):
            written = write_audit(Path(out), found, partial(read_items, listing))
        console.print(
            f"wrote {', '.join(path.name for path in written)} to {escape(str(out))}",
            soft_wrap=True,
        )
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument(
        "data",
        metavar="DATA",
        help=ALLOWED_SOURCES,
    )
    parser.add_argument("--out", metavar="DIR", help="write audit.json and contact sheets there")
    add_settings(parser, "how the data are read, such as data.reading.label_column=species")


def call(arguments: argparse.Namespace) -> int:
    """Run the command; return 1 if a run would fail or its metrics would be too good, else 0."""
    settings = dict(parse_setting(text) for text in arguments.settings)
    found = audit_data(arguments.data, settings=settings, out=arguments.out)
    return int(bool(found.faults or found.leaks or found.conflicts or found.refusal))
