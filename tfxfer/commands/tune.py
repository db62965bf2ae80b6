"""The command ``tfxfer tune --preset birds``, which searches for the best config."""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tfxfer.cache.temporary import own_temporary
from tfxfer.commands.options import as_source, check_cache
from tfxfer.config.presets import add_settings, load_config, parse_setting
from tfxfer.config.search import TUNERS
from tfxfer.errors import InputError, exit_code, nearest
from tfxfer.machine import runtime
from tfxfer.records.searches import SearchResult
from tfxfer.report.console import make_console
from tfxfer.search import folder as places

_UNITS = {"s": 1, "m": 60, "h": 3600}


def tune(
    preset: str | Path,
    *,
    trials: int = 20,
    tuner: str = "random",
    budget: float | None = None,
    objective: str | None = None,
    workers: int = 1,
    retrain: bool = False,
    data: Any = None,
    backbone: str | None = None,
    weights: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> SearchResult | None:
    """Search over the unfreeze depth and the axes of a preset's ``[search]``; train the winner.

    The same call with the same `out` goes on where an earlier one was stopped. If KerasTuner's
    environment variables make this process a worker, it runs trials for their chief.

    Args:
        preset, data, backbone, weights, settings: The same as in `tfxfer.train`.
        trials: The number of configs to train; each rung of Hyperband counts.
        tuner: One of `config.search.TUNERS`, such as ``"hyperband"``.
        budget: The seconds for all trials, without the winner's run; None sets no limit.
        objective: ``"val_accuracy"``, ``"val_cross_entropy"``, or None for the metric that chooses
            the epochs.
        workers: The number of processes that run trials, as KerasTuner's chief and workers.
        retrain: Whether the winner is trained on the validation pictures as well, with the
            settings that were chosen on them.
        out: The folder of the search; None takes ``runs/tune-<preset>-<time>``.
        overwrite: Whether an earlier search is removed from `out`.
        quiet: Whether nothing is printed.

    Returns:
        The result of the search; None in a worker.

    Raises:
        InputError: The request cannot be carried out; finished trials stay.

    Example:
        # This trains four configs and then the winner.
        result = tfxfer.tune("birds", trials=4)
        print(result.verdict, result.winner.values, result.best.test.accuracy)
    """
    until = None if budget is None else time.time() + budget
    _check(trials, tuner, budget, workers)
    load = partial(load_config, preset, backbone=backbone, weights=weights, settings=settings)
    config = load(data=as_source(data, load))
    if config.data.split.folds is not None:
        raise InputError(
            "A search compares trials on one validation split. Received: "
            f"data.split.folds={config.data.split.folds}. Leave it out, and cross-validate the "
            "winner: tfxfer train --preset …/best.toml --set data.split.folds=5"
        )
    folder = Path(out) if out is not None else _default_folder(str(preset))
    asked = {"tuner": tuner, "objective": objective}
    check_cache(config)
    is_new = places.check_folder(folder, config, asked, overwrite)
    console = make_console(quiet)
    try:
        with console.status("Starting TensorFlow"):
            runtime.import_tensorflow()
        from tfxfer.search.search import Wanted, run_search

        wanted = Wanted(trials, tuner, objective, until, workers, retrain)
        return run_search(config, wanted, folder, console)
    except BaseException:
        if is_new and places.ROLE not in os.environ:
            places.remove_unused(folder)
        raise


def _check(trials: int, tuner: str, budget: float | None, workers: int) -> None:
    if trials < 1 or workers < 1 or (budget is not None and budget <= 0):
        raise InputError(
            "trials and workers are numbers from 1 up, and a budget is more than no time. "
            f"Received: trials={trials}, workers={workers}, budget={budget}."
        )
    if tuner not in TUNERS:
        raise InputError(
            f"tuner must be one of {', '.join(TUNERS)}. Received: tuner={tuner!r}."
            f"{nearest(tuner, TUNERS)} Name one of them."
        )


def _default_folder(preset: str) -> Path:
    return Path("runs") / f"tune-{Path(preset).stem}-{datetime.now():%Y%m%d-%H%M%S}"


def parse_budget(text: str) -> float:
    """Return the seconds in ``90s``, ``10m`` or ``1.5h``; a number alone means seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not found:
        raise InputError(f"A budget is a time such as 90s, 10m or 1.5h. Received: {text!r}.")
    return float(found[1]) * _UNITS[found[2] or "s"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument("--preset", required=True, metavar="NAME|FILE", help="what to vary")
    parser.add_argument("--data", metavar="WHAT", help="as for `tfxfer train`")
    parser.add_argument("--backbone", metavar="NAME", help="as for `tfxfer train`")
    parser.add_argument("--weights", metavar="WHAT", help="imagenet, embedded or a file")
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="default 20")
    parser.add_argument("--tuner", default="random", help=f"{', '.join(TUNERS)}; default random")
    parser.add_argument("--budget", metavar="TIME", help="such as 10m, for the trials")
    parser.add_argument("--objective", metavar="METRIC", help="val_accuracy, val_cross_entropy …")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes; default 1")
    parser.add_argument(
        "--retrain", action="store_true", help="train the winner on the validation pictures too"
    )
    add_settings(parser, "any other value, such as search.unfreeze=[0,2,4]")
    parser.add_argument("--out", metavar="DIR", help="default runs/tune-<preset>-<time>")
    parser.add_argument("--overwrite", action="store_true", help="remove an earlier search there")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def call(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    settings = dict(parse_setting(text) for text in arguments.settings)
    tune(
        arguments.preset,
        trials=arguments.trials,
        tuner=arguments.tuner,
        budget=parse_budget(arguments.budget) if arguments.budget else None,
        objective=arguments.objective,
        workers=arguments.workers,
        retrain=arguments.retrain,
        data=arguments.data,
        backbone=arguments.backbone,
        weights=arguments.weights,
        settings=settings,
        out=arguments.out,
        overwrite=arguments.overwrite,
        quiet=arguments.quiet,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return the exit code: 0, or 2 for a mistake in the request."""
    parser = argparse.ArgumentParser("python -m tfxfer.tune", description="Search for a config.")
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    return exit_code(own_temporary()(lambda: call(arguments)))
