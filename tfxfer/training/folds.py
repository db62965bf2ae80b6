"""Cross-validation: a whole run for each fold, and the figures of all folds together."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tfxfer import run
from tfxfer.backbones.weights import check_weights
from tfxfer.cache.digest import digest
from tfxfer.config.config import Config
from tfxfer.data.items import ItemData
from tfxfer.errors import InputError
from tfxfer.machine.processes import ALONE
from tfxfer.records.plans import Plan
from tfxfer.records.proportions import wilson_interval
from tfxfer.records.results import FoldsResult
from tfxfer.report.console import print_folds
from tfxfer.training.job import load_items
from tfxfer.training.plan import dry_run
from tfxfer.training.train import run_training


def run_folds(
    config: Config,
    folder: Path,
    console: Console,
    overwrite: bool = False,
    fresh: bool = False,
) -> FoldsResult:
    """Train each fold in a folder of its own, and write the mean and the spread.

    Folds that an interrupted call with the same config and items has finished are not trained
    again. Frozen layers do not run again on items whose features an earlier fold has stored.

    Args:
        config: The config of the run.
        folder: The folder of the run folders ``fold-1``, ``fold-2``, ….
        console: The terminal to write to.
        overwrite: Whether an earlier run's folder is replaced as soon as the first fold is done.
        fresh: Whether a stopped fold begins anew, as in `run_training`.

    Raises:
        InputError: A fold cannot be trained; the folds before it stay.
    """
    count = config.data.split.folds or 0
    finished = {} if overwrite else run.load_unfinished(folder, config)
    may_replace = overwrite or bool(finished)
    check_weights(config.backbone)
    for fold in range(1, count + 1):
        with _saying_what_is_left(folder, finished, count):
            console.print(f"\n[bold]fold {fold} of {count}[/]")
            chosen = choose_fold(config, fold)
            items = load_items(chosen, console, share=ALONE)
            identified = identify(items)
            if fold in finished:
                _check_same(fold, finished[fold], identified, folder)
                console.print("  finished before")
                continue
            place = folder / run.fold_name(fold)
            run_training(chosen, place, console, overwrite=may_replace, items=items, fresh=fresh)
            if not finished:
                run.remove_earlier(folder, keep=place.name)
            finished[fold] = identified
            run.write_unfinished(folder, config, finished)
        gc.collect()  # This frees the fold's model, whose layers refer to one another.
    result = sum_up(folder, finished)
    run.write_folds(folder, config, result)
    print_folds(console, result)
    return result


def plan_folds(config: Config, console: Console) -> Plan:
    """Print the plan of the first fold, with a timed estimate, and say that there are more."""
    count = config.data.split.folds or 0
    plan = dry_run(choose_fold(config, 1), console)
    seconds = [phase.seconds for phase in plan.phases if phase.seconds is not None]
    note = (
        f"this is the first of {count} runs, one for each fold: together at most "
        f"{count * sum(seconds) / 60:.1f} min, and less where a fold finds stored features"
    )
    console.print(f"[yellow]note[/] {note}")
    return replace(plan, notes=(*plan.notes, note))


def choose_fold(config: Config, fold: int) -> Config:
    """Return the config of one fold, which trains it alone."""
    split = config.data.split.model_copy(update={"fold": fold})
    data = config.data.model_copy(update={"split": split})
    return config.model_copy(update={"data": data})


def identify(items: ItemData) -> dict[str, str]:
    """Hash the items of each split; the hash changes if some were changed or moved."""
    return {name: digest(repr(split.identities())) for name, split in items.splits.items()}


def sum_up(folder: Path, finished: Mapping[int, Mapping[str, str]]) -> FoldsResult:
    """Read the figures of all folds and put them together.

    Args:
        folder: The folder of all folds.
        finished: The result of `identify` for each fold.
    """
    # If all folds have the same test split, it is the source's own, and each fold is a validation
    # split.
    has_own_test = len({identified["test"] for identified in finished.values()}) == 1
    split = "validation" if has_own_test else "test"
    folds = tuple(run.load_fold(folder, fold, split) for fold in sorted(finished))
    total = sum(fold.pictures for fold in folds)
    right = sum(round(fold.accuracy * fold.pictures) for fold in folds)
    return FoldsResult(folder, split, folds, right / total, wilson_interval(right, total))


def _check_same(fold: int, before: Mapping[str, str], now: Mapping[str, str], folder: Path) -> None:
    changed = [name for name, hashed in now.items() if before.get(name) != hashed]
    if changed:
        raise InputError(
            "Folds that are put together must be of the same pictures. Received: "
            f"{str(folder)!r}, whose fold {fold} was trained on other ones "
            f"({', '.join(changed)}). Say --overwrite to train all folds anew, or name another "
            "folder."
        )


@contextmanager
def _saying_what_is_left(
    folder: Path, finished: Mapping[int, object], count: int
) -> Iterator[None]:
    """Add a note to an error that names the finished folds."""
    try:
        yield
    except BaseException as error:
        if finished:
            error.add_note(
                f"{len(finished)} of {count} folds are finished and stay in {folder}; the same "
                f"command with --out {folder} goes on with the others"
            )
        raise
