"""Calibration: all logits are divided by one number, so that a model is as sure as it is right.

See Guo et al. 2017, "On calibration of modern neural networks". The number changes no label. It is
part of the weights of the last layer, so that every saved and exported model has it.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from tfxfer.tasks.outputs import Output

# With a temperature outside of this range, a model would be never or always sure.
_RANGE = (0.1, 10.0)
# This is the deviation of the temperature's logarithm: a factor of 1.6 either way is usual.
_PRIOR_DEVIATION = 0.5


def fit_temperature(truth: np.ndarray, probabilities: np.ndarray, output: Output) -> float:
    """Return the temperature with the lowest cross-entropy on items that were not trained on.

    Few items say little: a model that is right on all of nine items would be made infinitely
    sure. So the logarithm of the temperature is held near 0 by a normal prior, which many items
    overrule.

    Args:
        truth: The truth of each item, in the form that `output` takes.
        probabilities: ``[items, classes]`` of the model as it is, 0…1.

    Returns:
        A number in 0.1…10: below 1, the model becomes more sure.
    """
    logits = output.to_logits(probabilities)

    def loss(log_temperature: float) -> float:
        prior = 0.5 * (log_temperature / _PRIOR_DEVIATION) ** 2
        return output.add_entropies(truth, logits / np.exp(log_temperature)) + prior

    found = minimize_scalar(loss, bounds=np.log(_RANGE), method="bounded")
    return float(np.exp(found.x))


def apply_temperature(probabilities: np.ndarray, temperature: float, output: Output) -> np.ndarray:
    """Return probabilities whose logits are divided by a number; ``1 / temperature`` undoes it.

    Args:
        probabilities: ``[items, classes]``, 0…1.

    Returns:
        Float32 of the same shape, 0…1.
    """
    scaled = output.to_logits(probabilities) / temperature
    return output.to_probabilities(scaled).astype(np.float32)


def expected_calibration_error(
    truth: np.ndarray, probabilities: np.ndarray, output: Output, bins: int = 15
) -> float:
    """Return the mean gap between how sure a model is and how often it is right, 0…1; 0 is best.

    ``sum_b (n_b / n) · |accuracy_b - confidence_b|`` over bins of equal width of the probability
    ``((b - 1) / bins, b / bins]``: Guo et al. 2017, "On calibration of modern neural networks",
    equation 3. The bins hold the probability of the most probable class of each item or, if items
    may have several labels, of each label of each item, and whether that class or label is true.

    Args:
        truth: The truth of each item, in the form that `output` takes; not empty.
        probabilities: ``[items, classes]``, 0…1.
        bins: The number of bins, at least 1. With more bins, the error of few items is larger.
    """
    confidence, is_right = output.judge(truth, probabilities)
    confidence = confidence.astype(np.float64)
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    # The count of a bin cancels out, because n_b · |mean - mean| = |sum - sum|.
    gaps = np.bincount(places, is_right, bins) - np.bincount(places, confidence, bins)
    return float(np.abs(gaps).sum() / len(confidence))
