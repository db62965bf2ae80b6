"""Logistic regression that fits a linear head on stored features, with a penalty by validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from tfxfer.config.phases import ResolvedPhase
from tfxfer.errors import InputError
from tfxfer.machine.processes import Share
from tfxfer.task import Given, Head, Solution, Table
from tfxfer.tasks.balance import adjust_by, weigh_classes
from tfxfer.tasks.labels import ClassLabels

# Features are divided by this power of their deviations. With 1, every channel has the same weight
# in the penalty; with less, channels that vary little count for less.
_EVENNESS = (1.0, 0.5)
# Both powers are tried if all fits take no longer than this.
_CHEAP_SECONDS = 2.0
# The inverse penalties begin with the strongest penalty, because each fit starts from the last one.
_STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
# L-BFGS finds the same optimum, but took three times as long on 3,000 items, because
# scikit-learn's converts the float32 features to float64 at each step.
_ALGORITHM = "newton-cg"
_MAX_ITERATIONS = 100
# This is the largest remaining slope of a loss of about 1. If fits are slow, penalties are compared
# at ten times the slope, in a third of the time, and only the chosen one is fitted to the end.
_TOLERANCE, _COARSE_TOLERANCE = 1e-4, 1e-3
# So many bytes of float32 features are allowed; they are held in memory about twice.
_MOST_BYTES = 600_000_000
# All fits together take so many seconds for a million features times classes, on two CPU cores.
_SECONDS = 0.1
# If a fit would take longer, gradient steps reach nearly the same result in less time.
_MOST_SECONDS = 20.0


@dataclass(frozen=True)
class Fit:
    """The balancing of classes in a fit, and the score by which fits are chosen.

    Attributes:
        balance: The value of `data.balance`.
        counts: The number of training items of each class.
        score: A function from labels and probabilities to a number that is larger for better fits.
    """

    balance: str
    counts: Sequence[int]
    score: Callable[[ClassLabels, np.ndarray], float]


def can_solve(head: Head, rows: int, channels: int) -> bool:
    """Return whether the head is one linear layer, and its features are not too many for this.

    Args:
        rows: The number of training items times views, plus that of validation items.
        channels: The number of an item's features.
    """
    *others, _ = head.layers
    is_linear = all(isinstance(layer, keras.layers.Dropout) for layer in others)
    is_small = rows * channels * 4 <= _MOST_BYTES
    return is_linear and is_small and estimate_seconds(head, rows, channels) <= _MOST_SECONDS


def check_solver(
    phase: ResolvedPhase, head: Head, given: Given, *, keeps_last: bool = False
) -> bool:
    """Say whether logistic regression fits the phase's head.

    Args:
        keeps_last: Whether validation items are trained on, so that they can choose no penalty.

    Raises:
        InputError: The phase requires it, but it is impossible.
    """
    can = given.is_pooled and given.rows > 0 and can_solve(head, given.rows, given.shape[0])
    if phase.solver == "logistic" and not can:
        raise InputError(
            "solver='logistic' fits a linear head on stored features that are not too many. "
            f"Received: phase {phase.name!r} with {given.rows:,} stored features of "
            f"shape {given.shape}. "
            "Take fewer views, more room (--set features.max_disk_gb=…), or solver='auto'."
        )
    is_solved = can and not phase.mixup and phase.solver != "adamw"
    if is_solved and keeps_last and phase.inverse_penalty is None:
        raise InputError(
            "Logistic regression chooses its penalty on validation pictures, which are trained on "
            f"here. Received: data.split.train_on_validation=true, phase {phase.name!r} without "
            "inverse_penalty. Take that of an earlier run (metrics.json), such as "
            f"--set phases.{phase.name}.inverse_penalty=1, or solver=adamw."
        )
    return is_solved


def estimate_seconds(head: Head, rows: int, channels: int) -> float:
    """Return roughly how many seconds `solve_head` will take."""
    return _estimate(rows * channels, head.layers[-1].units)


def _estimate(features: int, classes: int) -> float:
    return features * classes / 1e6 * _SECONDS


def solve_head(
    tables: Sequence[Table],
    labels: tuple[ClassLabels, ClassLabels],
    *,
    fit: Fit,
    inverse_penalty: float | None = None,
    evenness: float | None = None,
    share: Share,
) -> Solution:
    """Fit multinomial logistic regression with a ridge penalty.

    Classes are balanced without gradient steps. ``class_weights`` weights the items, and so does
    ``sampling``, which has the same effect here, because a fit sees all items at once.
    ``logit_adjustment`` fits as usual and takes ``tau · log prior`` off the biases. As the ridge
    penalty leaves biases alone, the resulting head is the one that minimises the adjusted loss.

    Args:
        tables: The stored training features ``[items, channels]`` of each view, and then those of
            the validation items.
        labels: The labels of the training items, in which every class occurs, and those of the
            validation items.
        fit: The balancing of classes, and the score by which fits are chosen.
        inverse_penalty, evenness: The values to take; None takes those that are best on validation.
        share: The part of the run that this process does. Tables and labels are those of its
            items, and the fit is to the items of all processes.

    Returns:
        The fit, over some penalties and scales of the channels, that has the highest accuracy (or
        macro recall, if classes are balanced) on validation and, among equals, the lowest
        cross-entropy. Epochs are chosen in the same way.
    """
    *views, validation = tables
    numbers = share.gather(labels[0].numbers)
    targets = np.tile(numbers, len(views))
    features = np.empty((len(targets), *validation.shape), np.float32)
    for number, table in enumerate(views):
        rows = slice(number * len(numbers), (number + 1) * len(numbers))
        features[rows] = share.gather(table.read().astype(np.float32))
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation < 1e-6] = 1.0
    held_out = share.gather(validation.read().astype(np.float32))
    features -= mean
    held_out -= mean
    classes = int(numbers.max()) + 1
    seconds = _estimate(features.size + held_out.size, classes)
    tolerance = _TOLERANCE if seconds <= _CHEAP_SECONDS else _COARSE_TOLERANCE
    solutions: list[Solution] = []
    applied = np.ones_like(deviation)
    tried = _EVENNESS if seconds * len(_EVENNESS) <= _CHEAP_SECONDS else _EVENNESS[:1]
    strengths = _STRENGTHS if inverse_penalty is None else (inverse_penalty,)
    for chosen in tried if evenness is None else (evenness,):
        scale = channel_scale(deviation, chosen)
        for part in (features, held_out):
            part *= applied / scale
        applied = scale
        path = _Path(features, targets, held_out, labels[1].change(share.gather), fit)
        for fitted in _fit_path(path, strengths, tolerance):
            kernel = fitted.kernel / scale[:, np.newaxis]
            bias = fitted.bias - mean @ kernel
            solutions.append(replace(fitted, kernel=kernel, bias=bias, evenness=chosen))
    best = max(solutions, key=_rank)
    # The last bits of a fit are a machine's own, and all processes are to have the same head.
    kernel, bias = share.take_first([best.kernel, best.bias])
    return replace(best, kernel=kernel, bias=bias)


def channel_scale(deviation: np.ndarray, evenness: float) -> np.ndarray:
    """Return the divisors ``[channels]`` of features with some deviations.

    For any evenness, from 0 to 1, the mean square of all channels together becomes 1.
    """
    left = deviation ** (1 - evenness)
    return deviation**evenness * np.sqrt(np.mean(left**2))


@dataclass(frozen=True)
class _Path:
    """The common data of fits with one penalty after the other."""

    features: np.ndarray
    targets: np.ndarray
    held_out: np.ndarray
    labels: ClassLabels
    fit: Fit


def _fit_path(path: _Path, strengths: Sequence[float], tolerance: float) -> list[Solution]:
    """Fit one penalty after the other, from the strongest on, for features as they are given.

    Args:
        tolerance: The tolerance of these fits. If it is coarse, only the best fit is returned, and
            it is continued to the end.
    """
    fit, labels = path.fit, path.labels
    model = LogisticRegression(
        solver=_ALGORITHM, max_iter=_MAX_ITERATIONS, tol=tolerance, warm_start=True
    )
    weights = None
    if fit.balance in ("class_weights", "sampling"):
        weights = weigh_classes(fit.counts)[path.targets]

    def solve(strength: float) -> Solution:
        model.C = strength
        with warnings.catch_warnings():
            # The last iterations change the head less than the next penalty does.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(path.features, path.targets, weights)
        probabilities = model.predict_proba(path.held_out)
        kernel, bias = _kernel_of(model)
        if fit.balance == "logit_adjustment":
            added = adjust_by(fit.counts)
            bias = bias - added
            probabilities = probabilities * np.exp(-added)
            probabilities /= probabilities.sum(axis=1, keepdims=True)
        cross_entropy = float(
            log_loss(labels.numbers, probabilities, labels=np.arange(len(model.classes_)))
        )
        accuracy = float(labels.are_right(probabilities).mean())
        score = fit.score(labels, probabilities)
        return Solution(kernel, bias, strength, accuracy, cross_entropy, score)

    solutions: list[Solution] = []
    fitted: list[tuple[np.ndarray, np.ndarray]] = []
    for strength in strengths:
        solutions.append(solve(strength))
        fitted.append((model.coef_, model.intercept_))
        lately = [solution.cross_entropy for solution in solutions[-3:]]
        if len(lately) == 3 and lately == sorted(lately):
            break  # It got worse twice in a row, so weaker penalties only overfit.
    if tolerance > _TOLERANCE:
        best = max(range(len(solutions)), key=lambda index: _rank(solutions[index]))
        model.coef_, model.intercept_ = fitted[best]
        model.tol = _TOLERANCE
        return [solve(strengths[best])]
    return solutions


def _rank(solution: Solution) -> tuple[float, float]:
    """Return a key that is larger for the better of two fits."""
    return solution.score, -solution.cross_entropy


def _kernel_of(model: LogisticRegression) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel ``[channels, classes]`` and the bias ``[classes]``, both float32."""
    kernel, bias = model.coef_.T, model.intercept_
    # For two classes there is one column, the logit of the second; the first one's is zero.
    if kernel.shape[1] == 1:
        kernel, bias = np.hstack([0 * kernel, kernel]), np.append(0, bias)
    return kernel.astype(np.float32), bias.astype(np.float32)
