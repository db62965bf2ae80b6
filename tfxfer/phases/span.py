"""Train some of a phase's epochs now, and the others later from where it was left."""

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
    """Epochs of a phase that are trained in one go; the schedule is that of the whole phase.

    Attributes:
        start: epochs that were trained before.
        stop: epochs that are trained afterwards; None: all of the phase.
        state: the file that the epochs before have left; None: there were none.
        left: the file to leave for those who go on; None: nobody does.
    """

    start: int = 0
    stop: int | None = None
    state: Path | None = None
    left: Path | None = None


WHOLE = Span()


def save_state(
    path: Path, model: keras.Model, best: KeepBest, about: Mapping[str, Any] | None = None
) -> None:
    """Write weights, random states and optimizer of a model, and its best weights so far.

    Args:
        about: JSON values to write beside them.
    """
    standings = [
        np.array([each.score, each.cross_entropy, each.accuracy, epoch])
        for each, epoch in ((best.standing, best.epoch), (best.top, best.top_epoch))
    ]
    groups = {
        "variable": model.variables,
        "optimizer": model.optimizer.variables,
        "best": best.weights or (),
        "standing": standings,
    }
    write_state(path, groups, about)


def load_state(path: Path, model: keras.Model, best: KeepBest) -> None:
    """Bring a model as of `prepare_phase`, and what was best, to where `save_state` left them.

    Raises:
        StateError: the file is damaged or of another model; nothing is changed then.
    """
    state = read_state(path)
    check_shapes(state, {"best": model.weights, "standing": [np.empty(4)] * 2})
    assign_state(state, {"variable": model.variables, "optimizer": model.optimizer.variables})
    (*figures, epoch), (*top, top_epoch) = (row.tolist() for row in state.groups["standing"])
    best.standing, best.epoch = Standing(*figures), int(epoch)
    best.top, best.top_epoch = Standing(*top), int(top_epoch)
    best.weights = state.groups["best"]
