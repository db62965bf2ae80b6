"""The choice of the engine that runs the frozen layers fastest and agrees with Keras."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat

import keras
import numpy as np

from tfxfer.errors import InputError, first_line
from tfxfer.features import engines
from tfxfer.features.engines import BATCH, ENGINES, Engine
from tfxfer.machine.compiled import call_model, fill_up

# An engine's features may differ by this much from those of Keras in float32. The difference is a
# Euclidean norm, relative to that of the features minus their mean over the items, because a
# common part does not distinguish items. bfloat16 differs by 0.02 … 0.05 in most networks. The
# largest measured difference is 0.17, in a MobileNetV2 restored from 8-bit weights, and linear
# heads on its features are as good as on Keras's. Mixed-up items differ by 1 and more.
TOLERANCE = 0.2
# The largest difference of an engine that computes as the served model does, in float32.
# TensorFlow, OpenVINO and XLA differ from Keras by 1e-6 … 1e-5 there.
SERVED_TOLERANCE = 1e-3
# Nearly equal items are assumed to differ by this share of the norm.
_LEAST_SPREAD = 0.01
_TIMED_BATCHES = 3
# An engine further down the list must be this much faster, because near ties would be decided
# differently each time.
_MARGIN = 1.15

# If an engine is so much faster than Keras (layer by layer on half a batch), no other engine is
# tried, because compiling one takes seconds. In nine networks, TensorFlow's best was one to ten
# times as fast as Keras, most of all with small layers, and OpenVINO at least twice as fast again.
_MUCH_FASTER = 5.0


@dataclass(frozen=True)
class Reference:
    """The features that Keras itself computes of some items, with which engines are compared.

    Keras is asked when its features are needed, and once.

    Attributes:
        prefix: The frozen layers, from items to a list of features.
        sample: A function that gives some of the run's items ``[items, …]`` float32.
        whole: The reference of which this is a part, with the positions of its outputs.
    """

    prefix: keras.Model
    sample: Callable[[], np.ndarray]
    whole: tuple[Reference, Sequence[int]] | None = None

    @cached_property
    def items(self) -> np.ndarray:
        """The items, at most `BATCH`."""
        return self.sample()[:BATCH]

    @cached_property
    def asked(self) -> tuple[list[np.ndarray], float]:
        """Keras's features of these items in float32, and its items a second, layer by layer.

        Raises:
            InputError: The features are no finite numbers.
        """
        if self.whole is None:
            return _ask_keras(self.prefix, self.items)
        reference, positions = self.whole
        features, speed = reference.asked
        return [features[each] for each in positions], speed

    def narrow(self, positions: Sequence[int]) -> Reference:
        """Return the same for some of the outputs; Keras need not be asked again."""
        prefix = engines.narrow(self.prefix, positions)
        return Reference(prefix, lambda: self.items, (self, positions))


def choose_engine(
    reference: Reference, *, wanted: str, before: str | None = None
) -> tuple[Engine, tuple[str, ...]]:
    """Choose an engine whose features agree with those of Keras, and make it ready.

    Args:
        reference: The frozen layers, and Keras's features of some of the run's items.
        wanted: A key of `ENGINES`, or ``"auto"`` for the fastest in a short comparison.
        before: The engine that ``"auto"`` took for other layers of the network; it is taken again
            without a comparison if it agrees.

    Returns:
        The engine, and a line about each one that was refused.

    Raises:
        InputError: The wanted engine is not installed, or does not agree with Keras.
    """
    if wanted != "auto":
        engines.check_installed(wanted)
    refused: list[str] = []
    best: Engine | None = None
    for name in _order(wanted, before):
        if best and _speed(best) > _MUCH_FASTER * reference.asked[1]:
            break
        engine = _check_engine(name, reference, TOLERANCE)
        if isinstance(engine, str):
            refused.append(engine)
            continue
        if wanted != "auto" or before:
            return engine, tuple(refused)
        engine = replace(engine, items_per_second=_time(engine, reference.items))
        if best is None or _speed(engine) > _MARGIN * _speed(best):
            best = engine
    if best is None:
        raise InputError(
            f"engine must be auto, {', '.join(ENGINES)}, and give what Keras gives. Received: "
            f"engine={wanted!r}: {'; '.join(refused)}. Take --set features.engine=auto."
        )
    return best, tuple(refused)


def choose_served(reference: Reference, names: Sequence[str]) -> Engine:
    """Make the first engine ready that computes as the served model does, in float32.

    Args:
        names: The engines, the fastest first. The last one is taken in any case.
    """
    *others, last = names
    for name in others:
        engine = _check_engine(name, reference, SERVED_TOLERANCE)
        if isinstance(engine, Engine):
            return engine
    return Engine(last, ENGINES[last](reference.prefix))


def _ask_keras(prefix: keras.Model, items: np.ndarray) -> tuple[list[np.ndarray], float]:
    """Return Keras's own features of some items, and its speed in items a second.

    The items are run in two halves: the first makes all layers ready, and the second is timed.
    """
    call = call_model(prefix)
    halves = np.split(_whole(items), 2)
    first = call(halves[0])
    start = time.monotonic()
    second = call(halves[1])
    speed = len(halves[1]) / (time.monotonic() - start)
    joined = (np.concatenate(parts) for parts in zip(first, second, strict=True))
    features = [part[: len(items)] for part in joined]
    if not all(np.isfinite(part).all() for part in features):
        raise InputError(
            "Weights must give finite features. Received: a network whose features of the first "
            "pictures are infinite or no numbers. Take another file (--weights)."
        )
    return features, speed


def _order(wanted: str, before: str | None) -> list[str]:
    if wanted != "auto":
        return [wanted]
    return list(dict.fromkeys([*([before] if before else []), *engines.list_candidates()]))


def _check_engine(name: str, reference: Reference, tolerance: float) -> Engine | str:
    """Make an engine ready, or say why it is refused."""
    expected, _ = reference.asked
    try:
        run = ENGINES[name](reference.prefix)
        error = largest_error(next(run([reference.items])), expected)
    # If an engine cannot compile a network, another one can, because TensorFlow runs them all.
    except Exception as failure:
        if name == "tensorflow":
            raise
        return f"engine {name} cannot run these layers ({first_line(failure)})"
    if not error <= tolerance:
        return (
            f"engine {name} was refused: its features differ from Keras's by {error:.2g} "
            f"(at most {tolerance:g} is accepted)"
        )
    return Engine(name, run, error)


def largest_error(features: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Return the relative Euclidean difference of the output that differs most.

    Args:
        features, expected: ``[items, …]`` for each output. The difference is relative to the
            expected features minus their mean, if there are at least two items.
    """
    errors = []
    for one, other in zip(features, expected, strict=True):
        common = other.mean(axis=0) if len(other) > 1 else 0.0
        least = max(_LEAST_SPREAD * float(np.linalg.norm(other)), 1e-12)
        scale = max(float(np.linalg.norm(other - common)), least)
        errors.append(float(np.linalg.norm(one - other)) / scale)
    return float(np.max(errors))  # Unlike `max`, this gives NaN if one of the errors is NaN.


def _speed(engine: Engine) -> float:
    return engine.items_per_second or 0.0


def _time(engine: Engine, items: np.ndarray) -> float:
    """Return items a second over a few batches, after the first call has compiled the engine."""
    batch = _whole(items)
    start = time.monotonic()
    for _ in engine.run(repeat(batch, _TIMED_BATCHES)):
        pass
    return _TIMED_BATCHES * len(batch) / (time.monotonic() - start)


def _whole(items: np.ndarray) -> np.ndarray:
    """Return items as one batch of the size that engines are compiled for."""
    return fill_up(items, BATCH)
