"""The command ``tfxfer train --preset birds``, which trains a model, and its dry run."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tfxfer import run
from tfxfer.cache.temporary import own_temporary
from tfxfer.commands.options import as_source, check_cache
from tfxfer.config.config import Config
from tfxfer.config.places import ALLOWED_SOURCES
from tfxfer.config.presets import add_settings, load_config, parse_setting
from tfxfer.errors import InputError, exit_code
from tfxfer.machine import runtime
from tfxfer.machine.stages import profiled
from tfxfer.records.plans import Plan
from tfxfer.records.results import FoldsResult, RunResult
from tfxfer.report.console import make_console


def train(
    preset: str | Path,
    *,
    data: Any = None,
    backbone: str | None = None,
    weights: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    fresh: bool = False,
    distributed: bool = False,
    profile: str | Path | None = None,
) -> RunResult | FoldsResult:
    """Train a preset and write its run folder, or one for each of ``data.split.folds``.

    If a run is stopped, the same call goes on where it was, provided that the config, the pictures
    and the versions of the packages are the same.

    Args:
        preset: A preset's name (`tfxfer presets` lists them) or a TOML file.
        data: One of `config.places.SOURCES`, such as a folder or ``"tfds:NAME"``, a
            `tf.data.Dataset`, or a mapping of ``"train"``, ``"validation"`` and ``"test"`` to such
            data sets; None takes the preset's data.
        backbone: A Keras Applications network at its own size, ``"hub:HANDLE_OR_PATH"`` or
            ``"keras_hub:PRESET"``; None takes the preset's network.
        weights: ``"imagenet"``, ``"embedded"``, ``"none"`` or a file; None takes the preset's.
        settings: Other values by dotted key, such as ``{"phases.fine-tune.unfreeze": 4}``.
        out: The run folder; None takes ``runs/<preset>-<time>``.
        overwrite: Whether an earlier run's folder is replaced when this run is done.
        quiet: Whether nothing is printed.
        fresh: Whether a stopped run begins anew; finished folds stay.
        distributed: Whether this process trains together with those that `processes.initialize`
            finds. Each makes the same call, and the first one prints and writes the run.
        profile: A file for a profile of the Python functions that were called, which
            ``python -m pstats`` reads; None makes none.

    Returns:
        The result of the run, or of all folds.

    Raises:
        InputError: The request cannot be carried out. Nothing is written then, except finished
            folds, which stay.

    Example:
        # This takes about a minute and downloads nothing.
        result = tfxfer.train("birds", settings={"phases.fine-tune.epochs": 2})
        print(result.path, result.test.accuracy)
    """
    started = time.monotonic()
    load = partial(load_config, preset, backbone=backbone, weights=weights, settings=settings)
    config = load(data=as_source(data, load))
    folder = Path(out) if out is not None else run.default_folder(str(preset))
    all_folds = config.data.split.folds is not None and config.data.split.fold is None
    is_first = not distributed or _join(config, all_folds)
    if is_first:
        run.check_folder(folder, overwrite, config.data.source, config if all_folds else None)
        check_cache(config)
    console = make_console(quiet or not is_first)
    with profiled(Path(profile) if profile else None, console.print):
        with console.status("Starting TensorFlow"):
            runtime.import_tensorflow()
        if all_folds:
            from tfxfer.training.folds import run_folds

            return run_folds(config, folder, console, overwrite, fresh)
        from tfxfer.training.train import run_training

        return run_training(
            config, folder, console, overwrite=overwrite, fresh=fresh, started=started
        )


def _join(config: Config, all_folds: bool) -> bool:
    """Join the other processes of a run, and say whether this one is the first."""
    if all_folds:
        raise InputError(
            "Several processes train one run together. Received: --distributed with "
            f"data.split.folds={config.data.split.folds}. Name one of the folds: "
            "--set data.split.fold=1."
        )
    runtime.import_tensorflow()
    from tfxfer.machine import processes

    return processes.initialize(config.seed) == 0


def plan(
    preset: str | Path,
    *,
    data: Any = None,
    backbone: str | None = None,
    weights: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> Plan:
    """Print and return what `train` would do with these arguments; train and store nothing.

    An archive is still unpacked into the cache. A `tf.data.Dataset` is written to a temporary
    folder, which the plan names as its source.

    Args:
        preset, data, backbone, weights, settings: The same as in `train`.
        quiet: Whether nothing is printed.

    Returns:
        The plan.

    Raises:
        InputError: The request cannot be carried out.

    Example:
        plan = tfxfer.plan("birds")
        print(plan.counts, [(phase.name, phase.seconds) for phase in plan.phases])
    """
    with tempfile.TemporaryDirectory(prefix="tfxfer-plan-") as scratch:
        load = partial(load_config, preset, backbone=backbone, weights=weights, settings=settings)
        config = load(data=as_source(data, load, scratch))
        console = make_console(quiet)
        with console.status("Starting TensorFlow"):
            runtime.import_tensorflow()
        if config.data.split.folds is not None and config.data.split.fold is None:
            from tfxfer.training.folds import plan_folds

            return plan_folds(config, console)
        from tfxfer.training.plan import dry_run

        return dry_run(config, console)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument("--preset", required=True, metavar="NAME|FILE", help="what to train")
    parser.add_argument(
        "--data",
        metavar="WHAT",
        help=ALLOWED_SOURCES,
    )
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        help="see `tfxfer backbones`; or hub:HANDLE_OR_PATH, keras_hub:PRESET",
    )
    parser.add_argument("--weights", metavar="WHAT", help="imagenet, none, embedded or a file")
    add_settings(parser, "any other value, such as phases.fine-tune.unfreeze=4")
    parser.add_argument("--out", metavar="DIR", help="run folder; default runs/<preset>-<time>")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run's folder")
    parser.add_argument("--fresh", action="store_true", help="do not go on with a stopped run")
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="one of several processes (JAX); see tools/launch_local.py",
    )
    parser.add_argument(
        "--profile", metavar="FILE", help="write a profile that python -m pstats reads"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan, train nothing")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def call(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    chosen = {
        "data": arguments.data,
        "backbone": arguments.backbone,
        "weights": arguments.weights,
        "settings": dict(parse_setting(text) for text in arguments.settings),
        "quiet": arguments.quiet,
    }
    if arguments.dry_run:
        plan(arguments.preset, **chosen)
    else:
        names = ("overwrite", "fresh", "distributed", "profile")
        how = {name: getattr(arguments, name) for name in names}
        train(arguments.preset, out=arguments.out, **how, **chosen)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return the exit code: 0, or 2 for a mistake in the request."""
    parser = argparse.ArgumentParser("python -m tfxfer.train", description="Train a preset.")
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    code = exit_code(own_temporary()(lambda: call(arguments)))
    if code and arguments.distributed:
        # At a normal exit, JAX would wait for processes that are gone, and then abort.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
