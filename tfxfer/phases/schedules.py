"""Learning rates over a phase, as pure functions of its steps."""

from __future__ import annotations

import keras


def warmup_cosine(
    peak: float, steps: int, warmup: float
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Rise linearly to the peak, then fall to zero along half a cosine.

    Loshchilov & Hutter 2017, "SGDR", equation 5, without restarts.

    Args:
        peak: highest learning rate.
        steps: optimizer steps of the phase.
        warmup: share of the steps in which the rate rises, in 0…1.
    """
    warmup_steps = round(warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else peak,
        decay_steps=max(1, steps - warmup_steps),
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


def layerwise_factors(depths: dict[str, int], decay: float) -> dict[str, float]:
    """Factor on the learning rate of each weight, ``decay ** depth``.

    Clark et al. 2020, "ELECTRA", section 3.2: deeper layers hold more general features and are
    to move less.

    Args:
        depths: by a weight's path, how many blocks below the head it stands, from 1.
        decay: factor from one block to the next below it, in 0…1.
    """
    return {path: decay**depth for path, depth in depths.items()}
