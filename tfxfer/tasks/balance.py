"""The balancing of classes of different sizes.

There are three ways, of which `data.balance` names one:

- ``class_weights``: in the loss, each item is weighted by the inverse of its class's size.
- ``sampling``: all classes are drawn equally often (`data/sampling.py`).
- ``logit_adjustment``: in the loss, the logarithm of each class's share is added to the logits.
  Without this term, the network then ranks classes as if all had the same size (Menon et al. 2021,
  "Long-tail learning via logit adjustment", equation 10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# Menon et al. use 1, which makes the adjusted loss consistent for the balanced error (section 5).
_TAU = 1.0
# If the largest class is so many times as large as the smallest, a plan suggests balancing.
_NOTED_FROM = 5


def weigh_classes(counts: Sequence[int]) -> np.ndarray:
    """Return the weight of each class's items in the loss, ``[classes]`` float32.

    The weights are ``items / (classes · counts)``. All classes have the same sum of weights, and
    the mean over the items is 1, so that learning rates and penalties keep their meaning. A
    class without items has weight 0 and does not count.

    Args:
        counts: The number of training items of each class.
    """
    sizes = np.asarray(counts, np.float64)
    present = sizes > 0
    weights = np.zeros_like(sizes)
    weights[present] = sizes.sum() / (present.sum() * sizes[present])
    return weights.astype(np.float32)


def adjust_by(counts: Sequence[int]) -> np.ndarray:
    """Return the terms that logit adjustment adds to the logits in training, ``[classes]`` float32.

    They are ``tau · log(counts / items)`` with ``tau = 1``. A class without items counts as
    if it had one.

    Args:
        counts: The number of training items of each class.
    """
    sizes = np.maximum(np.asarray(counts, np.float64), 1)
    return (_TAU * np.log(sizes / sizes.sum())).astype(np.float32)


def note_imbalance(class_counts: Mapping[str, int], balance: str) -> list[str]:
    """Suggest balancing if classes differ much in size and are not balanced.

    Args:
        class_counts: The number of training items by class name.
        balance: The value of `data.balance`.
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
