"""KerasTuner's oracles, which propose trials, changed so that they outlive their processes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from tfxfer.config.search import Range
from tfxfer.search import folder as places
from tfxfer.search.locks import is_alive
from tfxfer.search.space import DEPTH, Space


class Lasting(keras_tuner.Oracle):
    """A mix-in, placed before an oracle's class, that lets the oracle outlive its processes.

    KerasTuner 1.4.8 by itself overwrites its files in place, forgets a trial whose worker is gone,
    and repeats a trial that was finished but not noted.
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
            del self.trials[name]  # It was never noted, so that it will be proposed again.
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
        """Put the trials of workers that are gone back into the queue."""
        for worker in list(self.tuner_ids | set(self.ongoing_trials)):
            if worker != asking and not is_alive(self.search, worker):
                trial = self.ongoing_trials.pop(worker, None)
                if trial is not None:
                    self._retry_queue.append(trial.trial_id)
                self.tuner_ids.discard(worker)


class _Random(Lasting, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Grid(Lasting, keras_tuner.oracles.GridSearchOracle):
    """The combinations one after the other, from the place that the noted trials say.

    KerasTuner 1.4.8 keeps its place in memory alone (its issue 1055). It expects keys that appear
    during the search; here all are declared, so that each combination follows from the one before.
    """

    def populate_space(self, trial_id):
        if self.start_order:
            last = self.trials[self.start_order[-1]].hyperparameters.values
            values = self._get_next_combination(last)
        else:
            space = self.get_space()
            values = {hp.name: hp.default for hp in space.space if space.is_active(hp)}
        status = TrialStatus.STOPPED if values is None else TrialStatus.RUNNING
        return {"status": status, "values": values}


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
    name: str, space: Space, *, objective: str, trials: int, epochs: int, seed: int, search: Path
) -> Any:
    """Make the oracle that proposes trials.

    Args:
        name: A key of `ORACLES`.
        space: What is varied.
        objective: A metric that `SearchTuner.run_trial` returns.
        trials: The largest number of trials.
        epochs: The epochs of the searched phase, which are those of Hyperband's longest rungs.
        seed: The seed that decides the proposals.
        search: The folder of the search.
    """
    direction = "min" if objective == "val_cross_entropy" else "max"
    arguments: dict[str, Any] = {
        "objective": keras_tuner.Objective(objective, direction),
        "hyperparameters": declare(space, is_grid=name == "grid"),
        "seed": seed + 1,  # KerasTuner takes the seed 0 for no seed.
        "tune_new_entries": False,
        "allow_new_entries": False,
        "max_consecutive_failed_trials": trials + 1,  # Failed trials never end the search.
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
    """Return the space in KerasTuner's terms."""
    declared = keras_tuner.HyperParameters()
    deep = [depth for depth in space.depths if depth]
    # The head alone is trained before all trials, so it is proposed only if some axis varies it.
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
    """Begin Hyperband with the largest bracket that ends within the number of trials."""

    def size(bracket: int) -> int:
        return sum(oracle._get_size(bracket, rung) for rung in range(bracket + 1))

    largest = oracle._current_bracket
    fitting = [bracket for bracket in range(largest + 1) if size(bracket) <= trials]
    oracle._current_bracket = max(fitting, default=0)
    oracle._brackets.clear()
    oracle._start_new_bracket()
