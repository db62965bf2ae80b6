"""What a teacher makes of labels.

Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network".
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from tfxfer.tasks.labels import ClassLabels


def soften(
    labels: ClassLabels, logits: np.ndarray, *, temperature: float, weight: float
) -> ClassLabels:
    """Mix a teacher's softened probabilities with the labels.

    The result is ``weight · softmax(logits / temperature) + (1 - weight) · label``. There is no
    factor of the squared temperature as in the paper, because the student learns these targets at
    temperature 1, and calibration corrects its own temperature as for any model
    (`tasks/calibration.py`).

    Args:
        labels: The labels of the items.
        logits: ``[items, classes]``, what the teacher says of them.
        temperature: The number by which the logits are divided.
        weight: The teacher's share of the targets; the label has the rest.
    """
    scaled = logits.astype(np.float64) / temperature
    targets = weight * softmax(scaled, axis=1)
    targets[np.arange(len(labels)), labels.numbers] += 1 - weight
    return labels.soften(targets.astype(np.float32))
