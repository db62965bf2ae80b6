"""The ranking of trials, and the verdict on depths. This module imports no TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tfxfer.records.searches import Trial


def rank(trials: Sequence[Trial], objective: str) -> tuple[Trial, ...]:
    """Order trials by the objective, best first; equal ones by their cost, and failed ones last.

    A trial that another one continues is left out. A trial that Hyperband stopped before its last
    epoch comes after all complete ones.

    Args:
        trials: The trials.
        objective: ``"val_accuracy"``, ``"val_cross_entropy"``, or another name for the score by
            which the run chooses its epochs.
    """
    continued = {trial.continues for trial in trials if trial.status == "done"}
    kept = [trial for trial in trials if trial.number not in continued]
    return tuple(sorted(kept, key=lambda trial: _order(trial, objective)))


def value_of(trial: Trial, objective: str) -> float:
    """Return the value of the objective for a trial."""
    if objective == "val_accuracy":
        return trial.accuracy
    return trial.cross_entropy if objective == "val_cross_entropy" else trial.score


def is_whole(trial: Trial) -> bool:
    """Return whether a trial ended without being stopped in favour of better ones."""
    return trial.status == "done" and (not trial.is_cut_short)


def depth_verdict(ranked: Sequence[Trial]) -> str:
    """Say in a sentence what unfreezing gains over the head alone.

    The uncertainty is the standard error of the difference between two classifiers on the same
    ``n`` items: ``sqrt(b + c - (b - c)² / n) / n``, where ``b`` items are right only by the
    one and ``c`` only by the other (as in McNemar's test, Dietterich 1998, section 3.1).
    """
    whole = [trial for trial in ranked if is_whole(trial)]
    heads = [trial for trial in whole if trial.unfrozen == 0]
    deeper = [trial for trial in whole if trial.unfrozen]
    if not heads or not deeper:
        return "there is nothing to compare: " + (
            "no trial unfroze blocks" if heads else "no head alone was trained"
        )
    head, best = heads[0], deeper[0]
    gain = _gain(best, head)
    if best.accuracy <= head.accuracy:
        return f"unfreezing gains nothing over the head alone ({head.accuracy:.3f}): {gain}"
    text = f"unfreezing {best.unfrozen} of {best.blocks} blocks gains {gain} over the head alone"
    others = {trial.unfrozen: trial for trial in reversed(deeper)}
    deepest = [trial for depth, trial in others.items() if depth > best.unfrozen]
    shallower = [
        trial
        for depth, trial in sorted(others.items())
        if depth < best.unfrozen and _is_as_good(trial, best)
    ]
    if deepest:
        text += "; deeper gains nothing"
    if shallower:
        text += f"; with {shallower[0].unfrozen} it comes to the same within the noise"
    return text


def standard_error(one: Trial, other: Trial) -> float:
    """Return the standard error of the difference of two accuracies, in 0…1."""
    n = max(1, one.pictures)
    if len(one.right) == len(other.right) > 0:
        pairs = list(zip(one.right, other.right, strict=True))
        only_one, only_other = pairs.count(("1", "0")), pairs.count(("0", "1"))
        return math.sqrt(only_one + only_other - (only_one - only_other) ** 2 / n) / n
    spreads = (trial.accuracy * (1 - trial.accuracy) / n for trial in (one, other))
    return math.sqrt(sum(spreads))


def _gain(one: Trial, other: Trial) -> str:
    points = 100 * (one.accuracy - other.accuracy)
    return f"{points:.1f} ± {100 * standard_error(one, other):.1f} points"


def _is_as_good(trial: Trial, best: Trial) -> bool:
    return best.accuracy - trial.accuracy <= standard_error(best, trial)


def _order(trial: Trial, objective: str) -> tuple[object, ...]:
    value = value_of(trial, objective)
    if objective != "val_cross_entropy":
        value = -value
    cost = (trial.unfrozen, trial.trainable_parameters, trial.planned_epochs, trial.number)
    return (trial.status != "done", not is_whole(trial), value, *cost)
