"""The console script ``tfxfer``: one line for each command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from tfxfer import __version__
from tfxfer.cache.temporary import own_temporary
from tfxfer.commands import audit, distill, doctor, evaluate, export, predict, preview, train, tune
from tfxfer.commands.cache import cache_command
from tfxfer.commands.lists import list_backbones_command, list_presets_command
from tfxfer.errors import exit_code

# These commands have a module of their own; they are in the order of their use.
COMMANDS: dict[str, tuple[str, Any]] = {
    "train": ("train a preset", train),
    "tune": ("search for the best config of a preset", tune),
    "audit": ("look at pictures before training", audit),
    "augment-preview": ("draw what training sees", preview),
    "predict": ("say what pictures show", predict),
    "evaluate": ("figures of a model on new pictures", evaluate),
    "export": ("write a run's model for servers and devices", export),
    "distill": ("teach a small network what a run knows", distill),
    "doctor": ("look at the installation", doctor),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return 0, 1 for findings, or 2 for a mistake in the request."""
    parser = argparse.ArgumentParser("tfxfer", description="Transfer learning for pictures.")
    parser.add_argument("--version", action="version", version=f"tfxfer {__version__}")
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
    return exit_code(own_temporary()(lambda: arguments.call(arguments)))
