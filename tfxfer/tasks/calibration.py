"""Calibration: all logits are divided by one number, so that a model is as sure as it is right.

See Guo et al. 2017, "On calibration of modern neural networks". The number changes no label. It is
part of the weights of the last layer, so that every saved and exported model has it.
"""

from __future__ import annotations

import keras
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax

from tfxfer.tasks.labels import has_several

# With a temperature outside of this range, a model would be never or always sure.
_RANGE = (0.1, 10.0)
# This is the deviation of the temperature's logarithm: a factor of 1.6 either way is usual.
_PRIOR_DEVIATION = 0.5
_TINY = 1e-30
# `build_head` gives the layer of the probabilities this name.
_LAST_LAYER = "probabilities"


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the temperature with the lowest cross-entropy on pictures that were not trained on.

    A few pictures say little: a model that is right on all nine of them would become infinitely
    sure. So a normal prior keeps the logarithm of the temperature near 0, unless many pictures
    speak against it.

    Args:
        labels: ``[pictures]`` class numbers, or zeros and ones ``[pictures, classes]``.
        probabilities: ``[pictures, classes]`` of the model as it is, 0…1.

    Returns:
        A number in 0.1…10: below 1, the model becomes more sure.
    """
    logits = to_logits(probabilities, has_several(labels))
    rows = np.arange(len(labels))

    def cross_entropy(scaled: np.ndarray) -> float:
        if has_several(labels):
            return float(np.mean(np.logaddexp(0, scaled) - labels * scaled, axis=1).sum())
        return float(-log_softmax(scaled, axis=1)[rows, labels].sum())

    def loss(log_temperature: float) -> float:
        prior = 0.5 * (log_temperature / _PRIOR_DEVIATION) ** 2
        return cross_entropy(logits / np.exp(log_temperature)) + prior

    found = minimize_scalar(loss, bounds=np.log(_RANGE), method="bounded")
    return float(np.exp(found.x))


def apply_temperature(
    probabilities: np.ndarray, temperature: float, is_several: bool
) -> np.ndarray:
    """Return probabilities after all logits are divided; ``1 / temperature`` undoes this.

    Args:
        probabilities: ``[pictures, classes]``, 0…1.
        temperature: The number that the logits are divided by.
        is_several: Whether probabilities are independent of each other; otherwise they sum to 1.

    Returns:
        Float32 of the same shape, 0…1.
    """
    scaled = to_logits(probabilities, is_several) / temperature
    calibrated = expit(scaled) if is_several else np.exp(log_softmax(scaled, axis=1))
    return calibrated.astype(np.float32)


def fold_temperature(model: keras.Model, temperature: float) -> None:
    """Divide the last layer's weights, so that the model gives calibrated probabilities."""
    layer = model.get_layer(_LAST_LAYER)
    layer.set_weights([weight / temperature for weight in layer.get_weights()])


def to_logits(probabilities: np.ndarray, is_several: bool) -> np.ndarray:
    """Return the float64 logits of probabilities, up to a constant if pictures have one label."""
    exact = np.clip(probabilities.astype(np.float64), _TINY, 1.0)
    if not is_several:
        return np.log(exact)
    return np.log(exact) - np.log(np.clip(1.0 - probabilities.astype(np.float64), 1e-16, 1.0))


def expected_calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = 15
) -> float:
    """Return the mean gap between how sure a model is and how often it is right, 0…1; 0 is best.

    ``sum_b (n_b / n) · |accuracy_b - confidence_b|`` over bins of equal width of the probability
    ``((b - 1) / bins, b / bins]``: Guo et al. 2017, "On calibration of modern neural networks",
    equation 3. What is binned is the probability of the most probable class of each picture; of
    several labels, the probability of each label of each picture, against whether it is true.

    Args:
        labels: ``[pictures]`` class numbers, or zeros and ones ``[pictures, classes]``; not empty.
        probabilities: ``[pictures, classes]``, 0…1.
        bins: The number of bins, at least 1; with more bins, few pictures have a larger error.
    """
    if has_several(labels):
        confidence, is_right = probabilities.ravel(), labels.ravel()
    else:
        confidence, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    confidence = confidence.astype(np.float64)
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    # The count of a bin cancels out, because n_b · |mean - mean| = |sum - sum|.
    gaps = np.bincount(places, is_right, bins) - np.bincount(places, confidence, bins)
    return float(np.abs(gaps).sum() / len(confidence))
