"""The console script ``tfxfer``: one line a command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from tfxfer import audit, distill, doctor, evaluate, export_run, predict, preview, train, tune
from tfxfer.config.presets import list_presets, load_config
from tfxfer.errors import exit_code
from tfxfer.modalities.pictures.networks.families import COUNTS, NETWORKS
from tfxfer.modalities.pictures.networks.preprocessing import PREPROCESSINGS
from tfxfer.report.console import make_console

# Commands with a module of their own, in the order of their use.
COMMANDS: dict[str, tuple[str, Any]] = {
    "train": ("train a preset", train),
    "tune": ("search for the best config of a preset", tune),
    "audit": ("look at pictures before training", audit),
    "augment-preview": ("draw what training sees", preview),
    "predict": ("say what pictures show", predict),
    "evaluate": ("figures of a model on new pictures", evaluate),
    "export": ("write a run's model for servers and devices", export_run),
    "distill": ("teach a small network what a run knows", distill),
    "doctor": ("look at the installation", doctor),
}


def list_presets_command(arguments: argparse.Namespace) -> None:
    """Print each preset with its summary."""
    table = Table("preset", "what it trains", box=None)
    for name in list_presets():
        table.add_row(name, load_config(name).summary)
    make_console().print(table)


def list_backbones_command(arguments: argparse.Namespace) -> None:
    """Print each network with its parameters, blocks, size and preprocessing."""
    table = Table("network", "parameters", "blocks", "size", "preprocessing", "weights", box=None)
    for name, family in NETWORKS.items():
        parameters, blocks = COUNTS[name]
        table.add_row(
            name,
            f"{parameters / 1e6:.1f} M",
            str(blocks),
            f"{family.sizes_px[name]} px",
            PREPROCESSINGS[family.preprocessing].about,
            family.weights_licence,
        )
    make_console().print(table)


def cache_command(arguments: argparse.Namespace) -> None:
    """Show what is stored of frozen layers' features, or remove it."""
    from tfxfer.cache.folder import clear_others, locate, measure_others
    from tfxfer.features import cache

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
            f"{line.pictures:,}",
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


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0, 1 for findings, or 2 for a mistake in the request."""
    parser = argparse.ArgumentParser("tfxfer", description="Transfer learning for pictures.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (about, module) in COMMANDS.items():
        command = commands.add_parser(name, help=about)
        module.add_arguments(command)
        command.set_defaults(call=module.call)
    command = commands.add_parser("presets", help="list the presets")
    command.set_defaults(call=list_presets_command)
    command = commands.add_parser("backbones", help="list the networks")
    command.set_defaults(call=list_backbones_command)
    command = commands.add_parser("cache", help="show or clear the stored features")
    command.add_argument("--clear", action="store_true", help="remove all of them")
    command.add_argument("--dir", metavar="DIR", help="default: $TFXFER_CACHE or ~/.cache/tfxfer")
    command.set_defaults(call=cache_command)
    arguments = parser.parse_args(argv)
    return exit_code(lambda: arguments.call(arguments))
