"""The outputs of a model's last layer: probabilities that sum to 1, or each by itself."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.special import expit, log_softmax

_TINY = 1e-30


class Output(Protocol):
    """The relation between probabilities ``[items, classes]`` and their logits."""

    def to_logits(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the logits of probabilities, float64."""

    def to_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the probabilities of logits."""

    def add_entropies(self, truth: np.ndarray, logits: np.ndarray) -> float:
        """Add up the cross-entropies of all items."""

    def judge(self, truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probability of each label that is judged, and whether the label is right."""


class Softmax:
    """Probabilities that sum to 1. The truth is a class number for each item."""

    def to_logits(self, probabilities: np.ndarray) -> np.ndarray:
        """Return logits, which are right up to a constant for each item."""
        return np.log(np.clip(probabilities.astype(np.float64), _TINY, 1.0))

    def to_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return probabilities that sum to 1."""
        return np.exp(log_softmax(logits, axis=1))

    def add_entropies(self, truth: np.ndarray, logits: np.ndarray) -> float:
        """Add up the cross-entropies of all items."""
        rows = np.arange(len(truth))
        return float(-log_softmax(logits, axis=1)[rows, truth].sum())

    def judge(self, truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Judge the most probable class of each item."""
        return probabilities.max(axis=1), probabilities.argmax(axis=1) == truth


class Sigmoid:
    """Probabilities that each stand for themselves. The truth is a row of zeros and ones."""

    def to_logits(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the logit of each probability."""
        given = probabilities.astype(np.float64)
        return np.log(np.clip(given, _TINY, 1.0)) - np.log(np.clip(1.0 - given, 1e-16, 1.0))

    def to_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the probability of each logit."""
        return expit(logits)

    def add_entropies(self, truth: np.ndarray, logits: np.ndarray) -> float:
        """Add up, over all items, the mean cross-entropy of their labels."""
        return float(np.mean(np.logaddexp(0, logits) - truth * logits, axis=1).sum())

    def judge(self, truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Judge each label of each item."""
        return probabilities.ravel(), truth.ravel()


SOFTMAX, SIGMOID = Softmax(), Sigmoid()
# The keys are the activations of the last layer.
OUTPUTS: dict[str, Output] = {"softmax": SOFTMAX, "sigmoid": SIGMOID}
