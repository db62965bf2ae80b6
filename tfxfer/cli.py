"""The console script ``tfxfer``: one line a command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.table import Table

from tfxfer import train
from tfxfer.backbones.families import NETWORKS, PREPROCESSINGS
from tfxfer.errors import exit_code
from tfxfer.presets import list_presets, load_config
from tfxfer.report.console import make_console


def list_presets_command(arguments: argparse.Namespace) -> None:
    """Print each preset with its summary."""
    table = Table("preset", "what it trains", box=None)
    for name in list_presets():
        table.add_row(name, load_config(name).summary)
    make_console().print(table)


def list_backbones_command(arguments: argparse.Namespace) -> None:
    """Print each network with its parameters, blocks, size and preprocessing.

    Parameters and blocks are counted on the network itself, built without weights.
    """
    from tfxfer import runtime

    console = make_console()
    table = Table("network", "parameters", "blocks", "size", "preprocessing", "weights", box=None)
    with console.status("Building every network once"):
        runtime.import_tensorflow()
        from tfxfer.backbones.blocks import list_blocks
        from tfxfer.backbones.build import outline_network

        for name, family in NETWORKS.items():
            network = outline_network(name, family.sizes_px[name])
            table.add_row(
                name,
                f"{network.count_params() / 1e6:.1f} M",
                str(len(list_blocks(network, family))),
                f"{family.sizes_px[name]} px",
                PREPROCESSINGS[family.preprocessing],
                family.weights_licence,
            )
    console.print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0, or 2 for a mistake in the request."""
    parser = argparse.ArgumentParser("tfxfer", description="Transfer learning for pictures.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("train", help="train a preset")
    train.add_arguments(command)
    command.set_defaults(call=train.call)
    command = commands.add_parser("presets", help="list the presets")
    command.set_defaults(call=list_presets_command)
    command = commands.add_parser("backbones", help="list the networks (builds each one once)")
    command.set_defaults(call=list_backbones_command)
    arguments = parser.parse_args(argv)
    return exit_code(lambda: arguments.call(arguments))
