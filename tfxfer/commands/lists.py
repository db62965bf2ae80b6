"""The commands ``tfxfer presets`` and ``tfxfer backbones``, which print lists."""

from __future__ import annotations

import argparse

from rich.table import Table

from tfxfer.config.presets import list_presets, load_config
from tfxfer.modalities.pictures.networks.families import COUNTS, NETWORKS
from tfxfer.report.console import make_console


def list_presets_command(arguments: argparse.Namespace) -> None:
    """Print each preset with its summary."""
    table = Table("preset", "what it trains", box=None)
    for name in list_presets():
        table.add_row(name, load_config(name).summary)
    make_console().print(table)


def list_backbones_command(arguments: argparse.Namespace) -> None:
    """Print each network with its parameters, blocks, size and preprocessing."""
    # This module imports Keras, which the help of all commands does not need.
    from tfxfer.modalities.pictures.networks.preprocessing import PREPROCESSINGS

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
