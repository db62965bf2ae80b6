"""How far a proportion is known. Imports no TensorFlow."""

from __future__ import annotations

_Z95 = 1.959964  # 97.5 % quantile of the normal distribution


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927), which holds near 0 and 1 too.

    Args:
        successes: how many of the trials succeeded.
        trials: at least 1.
    """
    share = successes / trials
    centre = share + _Z95**2 / (2 * trials)
    spread = _Z95 * (share * (1 - share) / trials + _Z95**2 / (4 * trials**2)) ** 0.5
    scale = 1 + _Z95**2 / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
