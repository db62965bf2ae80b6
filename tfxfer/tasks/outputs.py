"""What a model's last layer gives: probabilities that sum to 1, or each by itself."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.special import expit, log_softmax

_TINY = 1e-30


class Output(Protocol):
    """How probabilities ``[items, classes]`` and their logits belong together."""

    def to_logits(self, probabilities: np.ndarray) -> np.ndarray:
        """Give logits of probabilities, float64."""

    def to_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Give the probabilities of logits."""

    def add_entropies(self, truth: np.ndarray, logits: np.ndarray) -> float:
        """Add up the cross-entropies of all items."""

    def judge(self, truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give how sure each thing that is said is, and whether it is right."""


class Softmax:
    """Probabilities that sum to 1. The truth is a class number for each item."""

    def to_logits(self, probabilities: np.ndarray) -> np.ndarray:
        """Give logits, of which each item's are right except for a constant."""
        return np.log(np.clip(probabilities.astype(np.float64), _TINY, 1.0))

    def to_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Give probabilities that sum to 1."""
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
        """Give the logit of each probability."""
        given = probabilities.astype(np.float64)
        return np.log(np.clip(given, _TINY, 1.0)) - np.log(np.clip(1.0 - given, 1e-16, 1.0))

    def to_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Give the probability of each logit."""
        return expit(logits)

    def add_entropies(self, truth: np.ndarray, logits: np.ndarray) -> float:
        """Add up over all items the mean cross-entropy of their labels."""
        return float(np.mean(np.logaddexp(0, logits) - truth * logits, axis=1).sum())

    def judge(self, truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Judge each label of each item."""
        return probabilities.ravel(), truth.ravel()


SOFTMAX, SIGMOID = Softmax(), Sigmoid()
# By the activation of the last layer.
OUTPUTS: dict[str, Output] = {"softmax": SOFTMAX, "sigmoid": SIGMOID}
