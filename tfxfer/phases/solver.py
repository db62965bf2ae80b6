"""Fit a linear head on stored features: logistic regression, the penalty chosen on validation."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import keras
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from tfxfer.features.store import Table
from tfxfer.heads import Head

# Inverse penalties, from the strongest on: each fit starts from the one before it. Features are
# standardised, so that one list serves every network.
_STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
# L-BFGS comes to the same optimum and took three times as long on 3,000 pictures: scikit-learn's
# keeps float64 numbers, and turns the float32 features into them at each step.
_ALGORITHM = "newton-cg"
_MAX_ITERATIONS = 100
_TOLERANCE = 1e-4
# Features are held in memory as float32, about three times over.
_MOST_BYTES = 600_000_000
# Features times classes: a fit takes about 0.1 s for each million of these.
_MOST_WORK = 1_000_000_000


@dataclass(frozen=True)
class Solution:
    """A fitted head.

    Attributes:
        kernel: ``[channels, classes]`` float32, for features as they are.
        bias: ``[classes]`` float32.
        strength: the chosen inverse penalty.
        accuracy, cross_entropy: on validation.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    accuracy: float
    cross_entropy: float


def can_solve(head: Head, tables: tuple[Table, ...]) -> bool:
    """Whether the head is one linear layer, on stored features that are not too many for this."""
    *others, last = head.layers
    is_linear = all(isinstance(layer, keras.layers.Dropout) for layer in others)
    elements = sum(len(table) * math.prod(table.shape) for table in tables)
    is_small = elements * 4 <= _MOST_BYTES and elements * last.units <= _MOST_WORK
    return is_linear and bool(tables) and is_small


def solve_head(
    tables: tuple[Table, ...], labels: np.ndarray, validation_labels: np.ndarray
) -> Solution:
    """Fit multinomial logistic regression with a ridge penalty.

    Args:
        tables: stored training features ``[pictures, channels]`` of each view, then those of the
            validation pictures.
        labels: ``[pictures]`` class numbers; every class occurs.
        validation_labels: of the validation pictures.

    Returns:
        The fit that has the highest accuracy on validation and, of those, the lowest
        cross-entropy: the order in which epochs are chosen, too.
    """
    *views, held_out = (table.read().astype(np.float32) for table in tables)
    features, targets = np.concatenate(views), np.tile(labels, len(views))
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation < 1e-6] = 1.0
    features = (features - mean) / deviation
    held_out_scaled = (held_out - mean) / deviation
    model = LogisticRegression(
        solver=_ALGORITHM, max_iter=_MAX_ITERATIONS, tol=_TOLERANCE, warm_start=True
    )
    solutions: list[Solution] = []
    for strength in _STRENGTHS:
        model.C = strength
        with warnings.catch_warnings():
            # The last iterations change the head by less than the next penalty does.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features, targets)
        probabilities = model.predict_proba(held_out_scaled)
        cross_entropy = float(
            log_loss(validation_labels, probabilities, labels=np.arange(len(model.classes_)))
        )
        accuracy = float((probabilities.argmax(axis=1) == validation_labels).mean())
        kernel, bias = _for_plain_features(model, mean, deviation)
        solutions.append(Solution(kernel, bias, strength, accuracy, cross_entropy))
        lately = [solution.cross_entropy for solution in solutions[-3:]]
        if len(lately) == 3 and lately == sorted(lately):
            break  # twice worse in a row: weaker penalties only overfit
    return max(solutions, key=lambda solution: (solution.accuracy, -solution.cross_entropy))


def _for_plain_features(
    model: LogisticRegression, mean: np.ndarray, deviation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias that take features which are not standardised."""
    scaled, bias = model.coef_, model.intercept_
    # Two classes come with one row: the second's logit, the first's being zero.
    if len(scaled) == 1:
        scaled = np.concatenate([np.zeros_like(scaled), scaled])
        bias = np.concatenate([np.zeros_like(bias), bias])
    kernel = scaled / deviation
    return kernel.T.astype(np.float32), (bias - kernel @ mean).astype(np.float32)
