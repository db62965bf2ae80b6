"""The loop of a search: KerasTuner proposes trials, and `score_config` scores them.

The state of a search outlives every process, because it lies in files that are replaced as a whole,
and each trial's outcome has a file of its own. A process holds a lock as long as it lives; if it
dies, another process takes over its trial.
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

from filelock import FileLock, Timeout
from keras_tuner import errors
from keras_tuner.engine.base_tuner import BaseTuner

from tfxfer.config.config import Config
from tfxfer.errors import FullDiskError, InputError, first_line
from tfxfer.phases.span import WHOLE, Span
from tfxfer.records.searches import Trial
from tfxfer.report.search import print_trial
from tfxfer.search import folder as places
from tfxfer.search.folder import CHIEF
from tfxfer.search.locks import lock_of
from tfxfer.search.score import Bench, BudgetOverError, score_config
from tfxfer.search.space import Space, propose

_LOCK_SECONDS = 10.0
_REAP_SECONDS = 5.0


class SearchOverError(errors.FatalError):
    """An error that ends KerasTuner's loop when the time is over; the trial stays open."""


class SearchTuner(BaseTuner):
    """A tuner that runs the trials proposed by an oracle, in this process or through a chief."""

    def __init__(self, oracle: Any, config: Config, space: Space, bench: Bench, search: Path):
        self._config, self._space, self._bench = config, space, bench
        self._search = search
        with contextlib.redirect_stdout(io.StringIO()):  # KerasTuner prints that it reloads.
            super().__init__(oracle=oracle, directory=str(search), project_name=places.TRIALS)

    def save(self):
        if not self._is_worker():
            self.oracle.save()
        places.write_json(Path(self._get_tuner_fname()), {})

    def run_trial(self, trial, **_):
        """Return the validation metrics of one trial."""
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
        trial = Trial(number, values, continues=before, worker=self.tuner_id)
        if span.state and before is not None:  # The head is the one of the shorter rung.
            earlier = places.load_trial(places.trial_folder(self._search, before))
            trial = replace(
                trial,
                precision=earlier.precision,
                inverse_penalty=earlier.inverse_penalty,
                evenness=earlier.evenness,
            )

        def score(trial: Trial) -> Trial:
            config = propose(self._config, self._space, values)
            if span.state:
                config = _in_precision(config, trial.precision)
            return score_config(config, self._bench, trial, place, span)

        return score_once(place, trial, score, self._bench)

    def _span(self, place: Path, proposed: dict[str, Any], before: int | None) -> Span:
        if "tuner/epochs" not in proposed:
            return WHOLE
        start = proposed["tuner/initial_epoch"]
        state = places.trial_folder(self._search, before) / places.STATE if before else None
        if state is None or not state.is_file():  # A head alone leaves no state.
            start, state = 0, None
        return Span(start, proposed["tuner/epochs"], state, place / places.STATE)


def score_once(place: Path, trial: Trial, score: Callable[[Trial], Trial], bench: Bench) -> Trial:
    """Return a trial's outcome, which is read from its folder or computed now and written there.

    While another process computes the same trial, this one waits for it.

    Raises:
        BudgetOverError: The time is over.
    """
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):
        known = places.find_trial(place)
        if known is not None and known.values == trial.values:
            return known
        bench.check_time()
        try:
            done = score(trial)
        except (BudgetOverError, FullDiskError):
            raise
        except InputError as error:
            done = replace(trial, status="failed", message=str(error), finished=time.time())
        except Exception as error:  # A trial that breaks in any way does not end the search.
            done = replace(trial, status="failed", message=first_line(error), finished=time.time())
        places.write_trial(place, done)
    print_trial(bench.console, done)
    return done


def search(tuner: SearchTuner) -> bool:
    """Run trials until none is left; as chief, hand them out.

    Returns:
        Whether all trials were run before the time was over.
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
        if os.environ.get(places.ROLE) == CHIEF:
            threading.Thread(target=_reap, args=(tuner.oracle,), daemon=True).start()
        console = tuner._bench.console
        console.file = console.file  # This keeps our console out of the redirection below.
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


def _in_precision(config: Config, precision: str) -> Config:
    *earlier, last = config.phases
    last = last.model_copy(update={"precision": precision})
    return config.model_copy(update={"phases": (*earlier, last)})
