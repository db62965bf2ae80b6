"""The steps of a search: trials, ranking, the run of the winner, and figures."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from tfxfer.backbones.build import build_backbone
from tfxfer.config.config import Config
from tfxfer.errors import InputError
from tfxfer.export.jax_program import check_readable
from tfxfer.phases.schedules import fill_in
from tfxfer.records.searches import SearchResult, Trial
from tfxfer.report.search import print_search
from tfxfer.report.search_figures import draw_search
from tfxfer.search import folder as places
from tfxfer.search.folder import CHIEF
from tfxfer.search.oracles import make_oracle
from tfxfer.search.ranking import depth_verdict, rank
from tfxfer.search.score import Bench, BudgetOverError, score_config
from tfxfer.search.space import DEPTH, Space, find_phase, make_space, propose, train_on_all
from tfxfer.search.tuner import SearchTuner, score_once, search
from tfxfer.search.workers import run_workers
from tfxfer.training.train import run_training


@dataclass(frozen=True)
class Wanted:
    """The settings of a search.

    Attributes:
        trials: The largest number of trials; a rung of Hyperband counts as one.
        tuner: The oracle that proposes them, a key of `ORACLES`.
        objective: A metric on validation; None takes the one that chooses the epochs.
        until: When to stop, in seconds since 1970; None stops when all trials are run.
        workers: The number of processes; with 1, this process runs all trials.
        retrain: Whether the winner is trained on training and validation items together.
    """

    trials: int = 20
    tuner: str = "random"
    objective: str | None = None
    until: float | None = None
    workers: int = 1
    retrain: bool = False


def run_search(
    config: Config, wanted: Wanted, folder: Path, console: Console
) -> SearchResult | None:
    """Run trials in this process or in several, then train the winner and write the result.

    Args:
        config: The config that is varied.
        wanted: The settings of the search.
        folder: The folder of the search, made by `check_folder`.
        console: The terminal to write to.

    Returns:
        The result, or None in a worker, because its chief does the rest.

    Raises:
        InputError: The space does not fit the network, no trial could be trained, or TensorFlow
            cannot read what this JAX exports.
    """
    role = os.environ.get(places.ROLE)
    check_readable()
    try:
        return _run(config, wanted, folder, console, role)
    except BaseException as error:
        if count := len(places.load_trials(folder)):
            error.add_note(
                f"{count} trials have ended and stay in {folder}; the same command with "
                f"--out {folder} goes on with the others"
            )
        raise


def _run(
    config: Config, wanted: Wanted, folder: Path, console: Console, role: str | None
) -> SearchResult | None:
    if wanted.workers > 1 and role is None:
        space = make_space(config, build_backbone(config.backbone).blocks)
        run_workers(wanted.workers, folder, asdict(wanted), console)
        is_complete = places.count_open(folder) == 0
    else:
        space, is_complete = run_trials(config, wanted, folder, console)
    if role not in (None, CHIEF):
        return None
    return finish(config, space, wanted, folder, console=console, is_complete=is_complete)


def run_trials(
    config: Config, wanted: Wanted, folder: Path, console: Console
) -> tuple[Space, bool]:
    """Run trials until none is left; as KerasTuner's chief, hand them out to workers.

    Returns:
        The space, and whether all trials were run before the time was over.
    """
    space = make_space(config, build_backbone(config.backbone).blocks)
    bench = Bench(space.depths, console, wanted.until)
    items = bench.load(config)
    phase = fill_in(find_phase(config), len(items.train.labels))
    chosen_by = items.task.make_objective(
        items.train.labels,
        len(items.classes),
        balance=config.data.balance,
        source=items.source,
    ).chosen_by
    objective = choose_objective(wanted, chosen_by)
    if wanted.tuner == "hyperband" and any(key.endswith(".epochs") for key in space.axes):
        raise InputError(
            "Hyperband shares out the epochs itself. Received: an axis of epochs and "
            "tuner='hyperband'. Take --tuner random, or leave the axis out."
        )
    oracle = make_oracle(
        wanted.tuner,
        space,
        objective=objective,
        trials=wanted.trials,
        epochs=phase.epochs,
        seed=config.seed,
        search=folder,
    )
    tuner = SearchTuner(oracle, config, space, bench, folder)
    if os.environ.get(places.ROLE) != CHIEF:
        try:
            score_head(config, space, bench, folder, tuner.tuner_id)
        except BudgetOverError:
            return space, False
    return space, search(tuner)


def score_head(config: Config, space: Space, bench: Bench, folder: Path, worker: str) -> Trial:
    """Train the preset's head alone, with which all depths begin and are compared."""
    place = places.trial_folder(folder, 0)
    head = propose(config, space, {DEPTH: 0})
    trial = Trial(0, {DEPTH: 0}, worker=worker)
    return score_once(place, trial, lambda trial: score_config(head, bench, trial, place), bench)


def choose_objective(wanted: Wanted, chosen_by: str) -> str:
    """Return the metric by which trials are compared.

    Args:
        wanted: The settings of the search.
        chosen_by: The metric that chooses epochs.

    Raises:
        InputError: Trials do not have the metric.
    """
    known = dict.fromkeys([f"val_{chosen_by}", "val_accuracy", "val_cross_entropy"])
    if wanted.objective is None:
        return next(iter(known))
    if wanted.objective not in known:
        raise InputError(
            f"--objective must be one of {', '.join(known)}. Received: {wanted.objective!r}."
        )
    return wanted.objective


def finish(
    config: Config,
    space: Space,
    wanted: Wanted,
    folder: Path,
    *,
    console: Console,
    is_complete: bool,
) -> SearchResult:
    """Rank the trials, train the winner, read the test items once, and write the result.

    Raises:
        InputError: No trial could be trained.
    """
    trials = places.load_trials(folder)
    done = [trial for trial in trials if trial.status == "done"]
    if not done:
        why = trials[0].message if trials else "the time was over before the first one ended"
        raise InputError(
            f"A search needs a trial that could be trained. Received: {len(trials)} trials, of "
            f"which none could: {why}"
        )
    objective = choose_objective(wanted, done[0].chosen_by)
    ranked = rank(trials, objective)
    winner = propose(config, space, ranked[0].values)
    if wanted.retrain:
        winner = train_on_all(winner, ranked[0])
    places.write_best(folder, winner)
    started = places.load_start(folder)
    draw_search([trial for trial in ranked if trial.status == "done"], started, folder)
    console.print(f"\n[bold]the winner[/]: trial {ranked[0].number}")
    best = run_training(winner, folder / places.BEST, console, overwrite=True)
    result = SearchResult(
        path=folder,
        objective=objective,
        trials=ranked,
        verdict=depth_verdict(ranked),
        seconds=max(trial.finished for trial in trials) - started,
        is_complete=is_complete,
        best=best,
    )
    places.write_result(result)
    if is_complete:
        places.remove_states(folder)  # All rungs of Hyperband are done.
    print_search(console, result)
    return result
