"""The objective of training: its loss, and the metric that chooses epochs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfxfer.data.items import ItemData
from tfxfer.errors import InputError
from tfxfer.tasks.labels import count_classes
from tfxfer.tasks.metrics import accuracy, macro_recall, mean_average_precision

# A function from labels and probabilities to a score in 0…1, by its name in `CRITERIA`.
SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "macro_recall": macro_recall,
    "mean_average_precision": mean_average_precision,
}


@dataclass(frozen=True)
class Objective:
    """The objective of training, which is the same in all phases of a run.

    Attributes:
        has_several: pictures may have several labels, or none.
        balance: `data.balance`.
        counts: training pictures of each class; only balancing reads them.
        keeps_last: validation pictures are trained on, and choose nothing.
    """

    has_several: bool = False
    balance: str = "none"
    counts: tuple[int, ...] = ()
    keeps_last: bool = False

    @property
    def chosen_by(self) -> str:
        """The validation metric that chooses epochs and penalties, a key of `CRITERIA`."""
        if self.has_several:
            return "mean_average_precision"
        return "accuracy" if self.balance == "none" else "macro_recall"

    @property
    def draws_evenly(self) -> bool:
        """Whether all classes are drawn equally often."""
        return self.balance == "sampling"

    def score(self, labels: np.ndarray, probabilities: np.ndarray) -> float:
        """Return how good probabilities ``[pictures, classes]`` are by `chosen_by`, in 0…1."""
        return SCORES[self.chosen_by](labels, probabilities)


# The objective for one label a picture and classes that are not balanced.
PLAIN = Objective()


def make_objective(pictures: ItemData, balance: str, keeps_last: bool = False) -> Objective:
    """Return what training on some pictures is after.

    Raises:
        InputError: classes cannot be balanced, since pictures have several labels.
    """
    if pictures.has_several and balance != "none":
        raise InputError(
            "balance needs one label a picture: a picture with several belongs to small classes "
            f"and to large ones at once. Received: data.balance={balance!r} with "
            f"{pictures.source!r}, whose pictures may have several. Take data.balance='none'."
        )
    counts = count_classes(pictures.train.labels, len(pictures.classes))
    return Objective(pictures.has_several, balance, tuple(map(int, counts)), keeps_last)
