"""The command ``tfxfer cache``, which shows or removes stored features."""

from __future__ import annotations

import argparse

from rich.markup import escape
from rich.table import Table

from tfxfer.report.console import make_console


def cache_command(arguments: argparse.Namespace) -> None:
    """Show the stored features of frozen layers, or remove them."""
    from tfxfer.cache.folder import clear_others, locate, measure_others
    from tfxfer.features.store import cache

    console = make_console()
    folder = locate(arguments.dir)
    if arguments.clear:
        freed = cache.clear(folder) + clear_others(folder)
        console.print(f"freed {freed / 1e6:,.1f} MB in {escape(str(folder))}", soft_wrap=True)
        for name, size in measure_others(folder).items():
            console.print(f"{name}: {size / 1e6:,.1f} MB stay, which a process reads or writes")
        return
    lines = cache.list_stored(folder)
    columns = ("network", "cut behind", "pictures of", "changes", "views", "size", "last used")
    table = Table(*columns, box=None)
    for line in lines:
        table.add_row(
            *(escape(str(line.about.get(key, "?"))) for key in ("network", "cut", "source")),
            str(line.about.get("changes", "?")).split(",")[0],
            f"{line.items:,}",
            f"{line.bytes / 1e6:,.1f} MB",
            f"{line.used:%Y-%m-%d %H:%M}",
        )
    if lines:
        console.print(table)
    others = measure_others(folder)
    for name, size in others.items():
        console.print(f"{name}: {size / 1e6:,.1f} MB")
    total = (sum(line.bytes for line in lines) + sum(others.values())) / 1e6
    console.print(
        f"{total:,.1f} MB in {escape(str(folder))}; `tfxfer cache --clear` removes it, and the "
        "next run computes it again",
        soft_wrap=True,
    )
