"""A part of a phase's epochs, and the file from which the next part goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfxfer.phases.keep_best import KeepBest, Standing
from tfxfer.phases.state import assign_state, check_shapes, read_state, write_state


@dataclass(frozen=True)
class Span:
    """The epochs of a phase that are trained without a break, on the whole phase's schedule.

    Attributes:
        start: The number of epochs that were trained before.
        stop: The number of epochs that are trained at the end; None means all of the phase.
        state: The file that earlier epochs left; None if there were none.
        left: The file to leave for later epochs; None leaves none.
    """

    start: int = 0
    stop: int | None = None
    state: Path | None = None
    left: Path | None = None


WHOLE = Span()


def save_state(
    path: Path, model: keras.Model, best: KeepBest, about: Mapping[str, Any] | None = None
) -> None:
    """Write the weights, random states and optimizer of a model, and its best weights so far.

    Args:
        path: The file.
        model: The compiled model.
        best: The callback with the best weights.
        about: JSON values that are written beside them.
    """
    standings = [
        np.array([each.score, each.cross_entropy, each.accuracy, epoch])
        for each, epoch in (
            (best.standing, best.epoch),
            (best.top, best.top_epoch),
            (best.before, 0),
        )
    ]
    groups = {
        "variable": model.variables,
        "optimizer": model.optimizer.variables,
        "best": best.weights or (),
        "standing": standings,
    }
    write_state(path, groups, about)


def load_state(path: Path, model: keras.Model, best: KeepBest) -> None:
    """Restore a model from `prepare_phase`, and its best weights, from a file of `save_state`.

    Raises:
        StateError: The file is damaged or belongs to another model; nothing is changed then.
    """
    state = read_state(path)
    # Earlier versions wrote no standing from before the phase.
    count = 2 if len(state.groups.get("standing", ())) == 2 else 3
    check_shapes(state, {"best": model.weights, "standing": [np.empty(4)] * count})
    assign_state(state, {"variable": model.variables, "optimizer": model.optimizer.variables})
    (*figures, epoch), (*top, top_epoch), *before = (
        row.tolist() for row in state.groups["standing"]
    )
    best.standing, best.epoch = Standing(*figures), int(epoch)
    best.top, best.top_epoch = Standing(*top), int(top_epoch)
    if before:
        best.before = Standing(*before[0][:-1])
    best.weights = state.groups["best"]
