"""What a search found out. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfxfer.records.results import RunResult


@dataclass(frozen=True)
class Trial:
    """One config of a search and how good it is on validation; fractions in 0…1.

    Attributes:
        number: in the order of the proposals, from 1; 0: the preset's head alone.
        values: what was varied, by key; the depth under ``"unfreeze"``.
        status: ``"done"``, ``"failed"`` (`message` says why), or ``"open"``.
        continues: number of the trial whose epochs this one goes on from.
        unfrozen, blocks: blocks that its last phase unfreezes, of how many.
        epochs, planned_epochs: of its last phase, that were trained and of the config; early
            stopping and Hyperband end sooner. None are of a head alone.
        score: by the metric `chosen_by` of `CRITERIA`.
        pictures: on validation.
        interval: 95 % Wilson interval of the accuracy.
        right: a 1 for each validation picture that is right, else a 0; empty where pictures have
            several labels.
        inverse_penalty, evenness: of its head phase, as in `PhaseResult`.
        is_cut_short: Hyperband has stopped it, to go on with better ones.
        seconds: wall time.
        finished: when it was done, in seconds since 1970.
        worker: the process that ran it.
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
        path: the folder of the search.
        objective: what was searched for, such as ``"val_accuracy"``.
        trials: best first; those that failed come last.
        verdict: what unfreezing gains, in a sentence.
        seconds: wall time of the trials, from the first to the last.
        is_complete: whether all trials were run; else the time was over.
        best: the run of the winner, whose test pictures were read once.
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
        """The trial with the best score; of equal ones, the cheapest."""
        return self.trials[0]
