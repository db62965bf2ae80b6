"""Train some of a phase's epochs now, and the others later from where it was left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from tfxfer.phases.keep_best import KeepBest, Standing


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


def save_state(path: Path, model: keras.Model, best: KeepBest) -> None:
    """Write weights, random states and optimizer of a model, and its best weights so far."""
    arrays = {
        name: np.array([each.score, each.cross_entropy, each.accuracy, epoch])
        for name, each, epoch in (
            ("standing", best.standing, best.epoch),
            ("top", best.top, best.top_epoch),
        )
    }
    for name, values in {
        "variable": model.variables,
        "optimizer": model.optimizer.variables,
        "best": best.weights,
    }.items():
        arrays |= {f"{name}{number}": np.asarray(value) for number, value in enumerate(values)}
    staging = path.with_name(f".{path.name}")
    with open(staging, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    staging.replace(path)


def load_state(path: Path, model: keras.Model, best: KeepBest) -> None:
    """Bring a compiled model, and what was best, to where `save_state` left them."""
    model.optimizer.build(model.trainable_variables)
    with np.load(path) as held:
        for name, variables in {
            "variable": model.variables,
            "optimizer": model.optimizer.variables,
        }.items():
            for number, variable in enumerate(variables):
                variable.assign(held[f"{name}{number}"])
        *figures, epoch = held["standing"].tolist()
        best.standing, best.epoch = Standing(*figures), int(epoch)
        *figures, epoch = held["top"].tolist()
        best.top, best.top_epoch = Standing(*figures), int(epoch)
        best.weights = [held[f"best{number}"] for number in range(len(model.weights))]
