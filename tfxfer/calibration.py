"""Whether a model's probabilities can be believed: of what it calls 80 % sure, are 80 % right?"""

from __future__ import annotations

import numpy as np

from tfxfer.data.labels import has_several


def expected_calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = 15
) -> float:
    """Mean gap between how sure a model is and how often it is right, 0…1; 0 is best.

    ``sum_b (n_b / n) · |accuracy_b - confidence_b|`` over bins of equal width of the probability
    ``((b - 1) / bins, b / bins]``: Guo et al. 2017, "On calibration of modern neural networks",
    equation 3. What is binned is the probability of the most probable class of each picture; of
    several labels, the probability of each label of each picture, against whether it is true.

    Args:
        labels: ``[pictures]`` class numbers, or zeros and ones ``[pictures, classes]``; not empty.
        probabilities: ``[pictures, classes]``, 0…1.
        bins: at least 1; the more, the larger the error of few pictures.
    """
    if has_several(labels):
        confidence, is_right = probabilities.ravel(), labels.ravel()
    else:
        confidence, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    confidence = confidence.astype(np.float64)
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    # The count of a bin cancels out: n_b · |mean - mean| = |sum - sum|.
    gaps = np.bincount(places, is_right, bins) - np.bincount(places, confidence, bins)
    return float(np.abs(gaps).sum() / len(confidence))
