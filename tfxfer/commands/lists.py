"""The commands ``tfxfer presets`` and ``tfxfer backbones``, which print lists."""

from __future__ import annotations

import argparse

from rich.table import Table

from tfxfer.config.presets import list_presets, load_config
from tfxfer.kinds import MODALITIES
from tfxfer.report.console import make_console


def list_presets_command(arguments: argparse.Namespace) -> None:
    """Print each preset with its summary."""
    table = Table("preset", "what it trains", box=None)
    for name in list_presets():
        table.add_row(name, load_config(name).summary)
    make_console().print(table)


def list_backbones_command(arguments: argparse.Namespace) -> None:
    """Print each network with its parameters, blocks, size and preprocessing."""
    table = Table("network", "parameters", "blocks", "size", "preprocessing", "weights", box=None)
    for name, network in (pair for row in MODALITIES.values() for pair in row.networks.items()):
        table.add_row(
            name,
            f"{network.parameters / 1e6:.1f} M",
            str(network.blocks),
            network.takes,
            network.preprocessing,
            network.licence,
        )
    make_console().print(table)
