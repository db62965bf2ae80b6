"""The results of a search. This module imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfxfer.records.results import RunResult


@dataclass(frozen=True)
class Trial:
    """One config of a search and how good it is on validation; fractions in 0…1.

    Attributes:
        number: Its number in the order of the proposals, from 1; 0 is the preset's head alone.
        values: The varied values by key; the depth is the value of ``"unfreeze"``.
        status: ``"done"``, ``"failed"`` (`message` says why), or ``"open"``.
        continues: The number of the trial whose training this one goes on with.
        unfrozen, blocks: How many blocks its last phase unfreezes, and how many there are.
        epochs, planned_epochs: How many epochs of its last phase were trained, and how many the
            config has: early stopping and Hyperband may end it sooner. Both are 0 for a head alone.
        score: The value of the metric `chosen_by`, a key of `CRITERIA`.
        pictures: The number of validation items.
        interval: The 95 % Wilson interval of the accuracy.
        right: A text with a 1 for each validation item that is right and a 0 for each other one;
            empty if items have several labels.
        inverse_penalty, evenness: The settings of its head phase, as in `PhaseResult`.
        is_cut_short: Whether Hyperband stopped it in order to go on with better ones.
        seconds: The wall time.
        finished: When it ended, in seconds since 1970.
        worker: The process that ran it.
    """

    number: int
    values: dict[str, Any]
    status: str = "open"
    message: str = ""
    continues: int | None = None
    unfrozen: int = 0
    blocks: int = 0
    epochs: int = 0
    planned_epochs: int = 0
    trainable_parameters: int = 0
    score: float = 0.0
    chosen_by: str = "accuracy"
    accuracy: float = 0.0
    cross_entropy: float = 0.0
    pictures: int = 0
    interval: tuple[float, float] = (0.0, 1.0)
    right: str = ""
    is_cut_short: bool = False
    precision: str = "float32"
    inverse_penalty: float | None = None
    evenness: float | None = None
    seconds: float = 0.0
    finished: float = 0.0
    worker: str = ""


@dataclass(frozen=True)
class SearchResult:
    """What `tfxfer.tune` returns.

    Attributes:
        path: The folder of the search.
        objective: The metric that was searched for, such as ``"val_accuracy"``.
        trials: The trials, best first; those that failed come last.
        verdict: What unfreezing gains, in a sentence.
        seconds: The wall time from the first trial to the last.
        is_complete: Whether all trials were run before the time was over.
        best: The run of the winner, which read the test items once.
    """

    path: Path
    objective: str
    trials: tuple[Trial, ...]
    verdict: str
    seconds: float
    is_complete: bool
    best: RunResult

    @property
    def winner(self) -> Trial:
        """The trial with the best score; among equal ones, the cheapest."""
        return self.trials[0]
