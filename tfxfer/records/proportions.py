"""How far a proportion is known. Imports no TensorFlow."""

from __future__ import annotations

_Z95 = 1.959964  # 97.5 % quantile of the normal distribution


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927), which holds near 0 and 1 too.

    Args:
        right: how many were right.
        count: how many there were, at least 1.
    """
    share = right / count
    centre = share + _Z95**2 / (2 * count)
    spread = _Z95 * (share * (1 - share) / count + _Z95**2 / (4 * count**2)) ** 0.5
    scale = 1 + _Z95**2 / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
