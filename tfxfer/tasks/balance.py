"""Classes of different sizes: what each picture weighs, and what a class's size is worth.

Three ways, of which `data.balance` names one:

- ``class_weights``: each picture weighs the inverse of its class's size, in the loss.
- ``sampling``: each class is drawn as often as any other (`data/sampling.py`).
- ``logit_adjustment``: the loss is taken of logits to which the logarithm of each class's share is
  added; the network without it then ranks classes as if all were of one size (Menon et al. 2021,
  "Long-tail learning via logit adjustment", equation 10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# Menon et al. take 1, which is what makes the adjusted loss consistent for the balanced error
# (their section 5).
_TAU = 1.0
# From this ratio of the largest to the smallest class on, a plan says what can be done.
_NOTED_FROM = 5


def weigh_classes(counts: Sequence[int]) -> np.ndarray:
    """Weight of each class's pictures in the loss, ``[classes]`` float32.

    ``pictures / (classes · counts)``: every class comes to the same sum, and the mean over the
    pictures is 1, so that learning rates and penalties mean what they mean without weights. A
    class without pictures has weight 0 and does not count.

    Args:
        counts: training pictures of each class.
    """
    sizes = np.asarray(counts, np.float64)
    present = sizes > 0
    weights = np.zeros_like(sizes)
    weights[present] = sizes.sum() / (present.sum() * sizes[present])
    return weights.astype(np.float32)


def adjust_by(counts: Sequence[int]) -> np.ndarray:
    """What logit adjustment adds to the logits in training, ``[classes]`` float32.

    ``tau · log(counts / pictures)`` with ``tau = 1``. A class without pictures counts as of one.

    Args:
        counts: training pictures of each class.
    """
    sizes = np.maximum(np.asarray(counts, np.float64), 1)
    return (_TAU * np.log(sizes / sizes.sum())).astype(np.float32)


def note_imbalance(class_counts: Mapping[str, int], balance: str) -> list[str]:
    """Say what can be done where classes differ much in size and nothing is done about it.

    Args:
        class_counts: training pictures by class name.
        balance: `data.balance`.
    """
    smallest = min(class_counts, key=class_counts.__getitem__)
    largest = max(class_counts, key=class_counts.__getitem__)
    low, high = class_counts[smallest], class_counts[largest]
    if balance != "none" or high < _NOTED_FROM * max(1, low):
        return []
    return [
        f"the largest class, {largest}, has {high:,} training pictures and the smallest, "
        f"{smallest}, {low:,}: if each class matters as much as any other, try "
        "--set data.balance=sampling (or class_weights, logit_adjustment) and compare macro F1"
    ]
