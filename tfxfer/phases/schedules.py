"""Schedules of the learning rate, and the settings that depend on the number of items."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

from tfxfer.backbones.blocks import Block, resolve_unfreeze
from tfxfer.config.phases import FilledPhase, PhaseConfig, ResolvedPhase

# With at least so many items, MixUp helps more than it slows training; BiT-HyperRule (Kolesnikov
# et al. 2020, section 3.3) has the same bound.
_MIXUP_FROM, _MIXUP_ALPHA = 20_000, 0.1


def resolve_phase(
    phase: PhaseConfig, items: int, *, blocks: Sequence[Block], policy: str = "standard"
) -> ResolvedPhase:
    """Fill in a phase's settings for some training items, and count what it unfreezes.

    This is done once in a run. From then on, `unfreeze` is a number of blocks.

    Args:
        phase: The settings.
        items: The number of training items.
        blocks: The backbone's blocks, from input to output.
        policy: The run's augmentation policy, which a phase may override.

    Raises:
        InputError: The phase unfreezes blocks that the backbone does not have.
    """
    filled = fill_in(phase, items, policy)
    unfrozen = resolve_unfreeze(phase.unfreeze, tuple(blocks))
    return ResolvedPhase(**(filled.model_dump(exclude_none=True) | {"unfreeze": unfrozen}))


def fill_in(phase: PhaseConfig, items: int, policy: str = "standard") -> FilledPhase:
    """Fill in the settings of a phase that depend on the number of training items.

    Args:
        phase: The settings.
        items: The number of training items.
        policy: The run's augmentation policy, which a phase may override.
    """
    is_head = phase.unfreeze == 0
    epochs = phase.epochs or (choose_head_epochs(items) if is_head else choose_epochs(items))
    chosen = {
        "epochs": epochs,
        # An epoch shows one view of each item, so no more views than epochs are ever seen.
        "views": 1 if is_head else min(choose_views(items), epochs),
        "mixup": 0.0 if is_head else choose_mixup(items),
    }
    asked = phase.model_dump(exclude_none=True)
    if phase.augmentation:
        # The first view is plain, so a policy of the phase's own needs at least a second one.
        chosen["views"] = min(max(2, choose_views(items)), epochs)
    if (phase.augmentation or policy) == "none" and phase.views != "stream":
        asked["views"] = 1  # Without changes, all views are the same.
    return FilledPhase(**(chosen | asked))


def choose_epochs(items: int) -> int:
    """Return the epochs of a fine-tuning phase.

    There are 38 for 100 items, 12 for 1,000, and 3 for 12,000 and more. The number of steps
    grows with the square root of the number of items, as between the sizes of BiT-HyperRule,
    which keeps some hundreds of steps for the smallest sets. A schedule that falls to zero needs a
    definite end.
    """
    return min(40, max(3, round(12 * math.sqrt(1000 / items))))


def choose_head_epochs(items: int) -> int:
    """Return the epochs of a head phase, whose steps on stored features take almost no time."""
    return min(60, max(6, round(20 * math.sqrt(1000 / items))))


def choose_views(items: int) -> int:
    """Return the number of stored views of each training item.

    There are 8 for up to 1,000 items, 4 for up to 2,000, and 1 for more. On 3,068 items of
    clothing, one view and two views both had a test accuracy of 0.920 over three seeds, and a
    second view takes time.
    """
    return 8 if items <= 1000 else 4 if items <= 2000 else 1


def choose_mixup(items: int) -> float:
    """Return the parameter of MixUp's Beta distribution; 0 means no MixUp."""
    return _MIXUP_ALPHA if items >= _MIXUP_FROM else 0.0


def warmup_cosine(
    peak: float, steps: int, warmup: float
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return a schedule that rises linearly to the peak, then falls to zero along half a cosine.

    This is equation 5 of Loshchilov & Hutter 2017, "SGDR", without restarts.

    Args:
        peak: The highest learning rate.
        steps: The number of optimizer steps of the phase.
        warmup: The share of the steps in which the rate rises, in 0…1.
    """
    warmup_steps = round(warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else peak,
        decay_steps=max(1, steps - warmup_steps),
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


def layerwise_factors(depths: dict[str, int], decay: float) -> dict[str, float]:
    """Return the factor on the learning rate of each weight, ``decay ** depth``.

    Deeper layers hold more general features and should change less (Clark et al. 2020, "ELECTRA",
    section 3.2).

    Args:
        depths: The number of blocks from the head down to a weight, from 1, by the weight's path.
        decay: The factor from one block to the next one below, in 0…1.
    """
    return {path: decay**depth for path, depth in depths.items()}
