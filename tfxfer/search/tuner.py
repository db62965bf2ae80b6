"""KerasTuner proposes, `score_config` scores; what was found outlives every process.

The state of a search lies in files that are replaced as a whole, each trial's outcome in one of its
own. A process holds a lock as long as it lives: the trial of one that is gone goes to another.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras_tuner
from filelock import FileLock, Timeout
from keras_tuner import errors
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus

from tfxfer.config import Config
from tfxfer.errors import InputError, first_line
from tfxfer.phases.span import WHOLE, Span
from tfxfer.records import Trial
from tfxfer.report.search import print_trial
from tfxfer.search import folder as places
from tfxfer.search.settings import Range
from tfxfer.search.space import DEPTH, Space, propose
from tfxfer.search.trial import Bench, BudgetOverError, score_config
from tfxfer.search.workers import CHIEF, ROLE

_LOCK_SECONDS = 10.0
_REAP_SECONDS = 5.0


class SearchOverError(errors.FatalError):
    """Ends KerasTuner's loop: the time is over, and the trial stays open."""


class Lasting(keras_tuner.Oracle):
    """What a KerasTuner oracle lacks to outlive its processes; goes before its class.

    KerasTuner 1.4.8 overwrites its files in place, forgets a trial whose worker is gone, and runs a
    trial again that was finished but not noted.
    """

    search: Path
    ongoing_trials: dict[str, Any]
    _retry_queue: list[str]

    def save(self):
        places.write_json(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial):
        path = Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
        places.write_json(path, trial.get_state())

    def set_state(self, state):
        super().set_state(state)
        self._were_ongoing = dict(self.ongoing_trials)

    def reload(self):
        super().reload()
        for name in set(self.trials) - set(self.start_order):
            del self.trials[name]  # killed before it was noted: the same will be proposed again
        self.ongoing_trials = {
            worker: trial
            for worker, trial in self._were_ongoing.items()
            if trial.status == TrialStatus.RUNNING and is_alive(self.search, worker)
        }
        self.tuner_ids |= set(self.ongoing_trials)
        running = {trial.trial_id for trial in self.ongoing_trials.values()}
        waiting = dict.fromkeys(self._retry_queue)
        self._retry_queue = [
            name
            for name in waiting
            if name not in running and self.trials[name].status == TrialStatus.RUNNING
        ]

    @keras_tuner.synchronized
    def create_trial(self, tuner_id):
        self.reap(tuner_id)
        return super().create_trial(tuner_id)

    @keras_tuner.synchronized
    def reap(self, asking: str | None = None):
        """Put trials back in the queue whose workers are gone."""
        for worker in list(self.tuner_ids | set(self.ongoing_trials)):
            if worker != asking and not is_alive(self.search, worker):
                trial = self.ongoing_trials.pop(worker, None)
                if trial is not None:
                    self._retry_queue.append(trial.trial_id)
                self.tuner_ids.discard(worker)


class _Random(Lasting, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Grid(Lasting, keras_tuner.oracles.GridSearchOracle):
    pass


class _Bayesian(Lasting, keras_tuner.oracles.BayesianOptimizationOracle):
    pass


class _Hyperband(Lasting, keras_tuner.oracles.HyperbandOracle):
    pass


ORACLES: dict[str, type] = {
    "random": _Random,
    "hyperband": _Hyperband,
    "bayesian": _Bayesian,
    "grid": _Grid,
}


def make_oracle(
    name: str, space: Space, objective: str, trials: int, epochs: int, seed: int, search: Path
) -> Any:
    """Make what proposes trials.

    Args:
        name: of `ORACLES`.
        objective: a metric of `run_trial`.
        trials: at most.
        epochs: of the searched phase; Hyperband's longest rungs have as many.
        seed: decides the proposals.
        search: folder of the search.
    """
    direction = "min" if objective == "val_cross_entropy" else "max"
    arguments: dict[str, Any] = {
        "objective": keras_tuner.Objective(objective, direction),
        "hyperparameters": declare(space, is_grid=name == "grid"),
        "seed": seed + 1,  # KerasTuner takes 0 for none
        "tune_new_entries": False,
        "allow_new_entries": False,
        "max_consecutive_failed_trials": trials + 1,  # a config that cannot be trained is no alarm
    }
    if name == "hyperband":
        oracle = _Hyperband(max_epochs=epochs, hyperband_iterations=None, **arguments)
        oracle.max_trials = trials
        _start_where_it_ends(oracle, trials)
    else:
        oracle = ORACLES[name](max_trials=trials, **arguments)
    oracle.search = search
    oracle.verbose = 0
    return oracle


def declare(space: Space, is_grid: bool = False) -> keras_tuner.HyperParameters:
    """The space in KerasTuner's terms."""
    declared = keras_tuner.HyperParameters()
    deep = [depth for depth in space.depths if depth]
    # The head alone is trained before all trials: as it is, it need not be proposed.
    varies_head = not all(map(space.needs_depth, space.axes))
    declared.Choice(DEPTH, list(space.depths if varies_head else deep or space.depths))
    for key, axis in space.axes.items():
        needs_depth = space.needs_depth(key)
        if needs_depth and not deep:
            continue
        scope = declared.conditional_scope(DEPTH, deep) if needs_depth else contextlib.nullcontext()
        with scope:
            if not isinstance(axis, Range):
                declared.Choice(key, list(axis))
            elif is_grid:
                declared.Choice(key, axis.spread())
            else:
                sampling = "log" if axis.log else "linear"
                declared.Float(key, axis.low, axis.high, sampling=sampling)
    return declared


def _start_where_it_ends(oracle: Any, trials: int) -> None:
    """Begin Hyperband with the largest bracket that comes to its end within some trials."""

    def size(bracket: int) -> int:
        return sum(oracle._get_size(bracket, rung) for rung in range(bracket + 1))

    largest = oracle._current_bracket
    fitting = [bracket for bracket in range(largest + 1) if size(bracket) <= trials]
    oracle._current_bracket = max(fitting, default=0)
    oracle._brackets.clear()
    oracle._start_new_bracket()


class SearchTuner(BaseTuner):
    """Runs the trials that an oracle proposes, here or behind KerasTuner's chief."""

    def __init__(self, oracle: Any, config: Config, space: Space, bench: Bench, search: Path):
        self._config, self._space, self._bench = config, space, bench
        self._search = search
        with contextlib.redirect_stdout(io.StringIO()):  # it prints that it reloads
            super().__init__(oracle=oracle, directory=str(search), project_name=places.TRIALS)

    def save(self):
        if not self._is_worker():
            self.oracle.save()
        places.write_json(Path(self._get_tuner_fname()), {})

    def run_trial(self, trial, **_):
        """Give the metrics on validation of one trial."""
        values = trial.hyperparameters.values
        try:
            done = self._score(int(trial.trial_id) + 1, values)
        except BudgetOverError as over:
            raise SearchOverError from over
        if done.status == "failed":
            raise errors.FailedTrialError(done.message)
        return {
            "val_accuracy": done.accuracy,
            "val_cross_entropy": done.cross_entropy,
            f"val_{done.chosen_by}": done.score,
        }

    def _score(self, number: int, proposed: dict[str, Any]) -> Trial:
        """Train a trial, unless that was done before."""
        values = {key: value for key, value in proposed.items() if not key.startswith("tuner/")}
        place = places.trial_folder(self._search, number)
        continued = proposed.get("tuner/trial_id")
        before = int(continued) + 1 if continued is not None else None
        span = self._span(place, proposed, before)

        def score(trial: Trial) -> Trial:
            config = propose(self._config, self._space, values)
            if span.state and before is not None:
                earlier = places.load_trial(places.trial_folder(self._search, before))
                config = _in_precision(config, earlier.precision)
            return score_config(config, self._bench, trial, place, span)

        trial = Trial(number, values, continues=before, worker=self.tuner_id)
        return score_once(place, trial, score, self._bench)

    def _span(self, place: Path, proposed: dict[str, Any], before: int | None) -> Span:
        if "tuner/epochs" not in proposed:
            return WHOLE
        start = proposed["tuner/initial_epoch"]
        state = places.trial_folder(self._search, before) / places.STATE if before else None
        if state is None or not state.is_file():  # a head alone leaves none
            start, state = 0, None
        return Span(start, proposed["tuner/epochs"], state, place / places.STATE)


def score_once(place: Path, trial: Trial, score: Callable[[Trial], Trial], bench: Bench) -> Trial:
    """Give a trial's outcome: what lies there, or what is found now and put there.

    Whoever asks while another process is at it waits for that one.

    Raises:
        BudgetOverError: the time is over.
    """
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):
        known = places.find_trial(place)
        if known is not None and known.values == trial.values:
            return known
        bench.check_time()
        try:
            done = score(trial)
        except BudgetOverError:
            raise
        except InputError as error:
            done = replace(trial, status="failed", message=str(error), finished=time.time())
        except Exception as error:  # one trial that breaks, however, does not end a search
            done = replace(trial, status="failed", message=first_line(error), finished=time.time())
        places.write_trial(place, done)
    print_trial(bench.console, done)
    return done


def search(tuner: SearchTuner) -> bool:
    """Run trials until there are none left; as chief, hand them out.

    Returns:
        Whether all were run; else the time was over.
    """
    lock = lock_of(tuner._search, tuner.tuner_id)
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout as error:
        raise InputError(
            f"One process at a time is {tuner.tuner_id!r} of a search. Received: "
            f"{str(tuner._search)!r}, where one is at work. Wait for it, name another folder, or "
            "give this process a KERASTUNER_TUNER_ID of its own."
        ) from error
    try:
        tuner.save()
        if os.environ.get(ROLE) == CHIEF:
            threading.Thread(target=_reap, args=(tuner.oracle,), daemon=True).start()
        console = tuner._bench.console
        console.file = console.file  # KerasTuner prints what is of no use to anybody
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            tuner.search()
    except SearchOverError:
        return False
    finally:
        lock.release()
    return True


def _reap(oracle: Any) -> None:
    while True:
        time.sleep(_REAP_SECONDS)
        oracle.reap()


def lock_of(search: Path, worker: str) -> FileLock:
    """What a process of a search holds while it lives."""
    place = search / places.LOCKS
    place.mkdir(parents=True, exist_ok=True)
    return FileLock(place / f"{worker}.lock")


def is_alive(search: Path, worker: str) -> bool:
    """Whether the process of that name holds its lock."""
    try:
        with lock_of(search, worker).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _in_precision(config: Config, precision: str) -> Config:
    *earlier, last = config.phases
    last = last.model_copy(update={"precision": precision})
    return config.model_copy(update={"phases": (*earlier, last)})
