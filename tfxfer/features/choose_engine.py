"""The choice of an engine: whatever runs the frozen layers fastest, where it agrees with Keras."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import repeat

import keras
import numpy as np

from tfxfer.errors import InputError, first_line
from tfxfer.features import engines
from tfxfer.features.engines import BATCH, ENGINES, Engine
from tfxfer.machine.compiled import call_model, fill_up

# An engine's features may differ from those of Keras in float32 by this much: the Euclidean norm
# of the difference, over that of the features with their mean over the pictures taken off: what
# pictures have in common tells none of them apart. bfloat16 comes to 0.02 … 0.05 in most networks;
# the worst that was measured, a MobileNetV2 restored from 8-bit weights, comes to 0.17, and linear
# heads on its features are as good as on Keras's. Mixed-up pictures come to 1 and more.
TOLERANCE = 0.2
# Of the norm: what pictures that are all but alike are taken to differ by.
_LEAST_SPREAD = 0.01
_TRIAL_BATCHES = 3
# An engine further down the list must be this much faster: near ties would fall now one way, now
# the other.
_MARGIN = 1.15

# An engine this much faster than Keras, layer by layer on half a batch, needs no other one tried,
# which would take seconds to compile. In nine networks, TensorFlow's best was one to ten times as
# fast as that, most of all where layers are small, and OpenVINO about twice as fast again or more.
_MUCH_FASTER = 5.0


def choose_engine(
    prefix: keras.Model, pictures: np.ndarray, wanted: str, before: str | None = None
) -> tuple[Engine, tuple[str, ...]]:
    """Make an engine ready whose features agree with those of Keras.

    Args:
        prefix: frozen layers, from pictures to a list of features.
        pictures: ``[pictures, size, size, 3]`` float32, at most `BATCH`; some of the run's.
        wanted: a key of `ENGINES`, or ``"auto"``: the fastest in a short trial.
        before: the engine that ``"auto"`` took for other layers of the network: it is taken again
            without a trial, where it agrees.

    Returns:
        The engine, and a line on each one that was refused.

    Raises:
        InputError: the wanted engine is not installed, or does not agree with Keras.
    """
    if wanted != "auto":
        engines.check_installed(wanted)
    expected, keras_speed = _ask_keras(prefix, pictures)
    if not all(np.isfinite(part).all() for part in expected):
        raise InputError(
            "Weights must give finite features. Received: a network whose features of the first "
            "pictures are infinite or no numbers. Take another file (--weights)."
        )
    refused: list[str] = []
    best: Engine | None = None
    for name in _order(wanted, before):
        if best and _speed(best) > _MUCH_FASTER * keras_speed:
            break
        engine = _check_engine(name, prefix, pictures, expected)
        if isinstance(engine, str):
            refused.append(engine)
            continue
        if wanted != "auto" or before:
            return engine, tuple(refused)
        engine = replace(engine, pictures_per_second=_time(engine, pictures))
        if best is None or _speed(engine) > _MARGIN * _speed(best):
            best = engine
    if best is None:
        raise InputError(
            f"engine must be auto, {', '.join(ENGINES)}, and give what Keras gives. Received: "
            f"engine={wanted!r}: {'; '.join(refused)}. Take --set features.engine=auto."
        )
    return best, tuple(refused)


def _ask_keras(prefix: keras.Model, pictures: np.ndarray) -> tuple[list[np.ndarray], float]:
    """What Keras itself gives for some pictures, and how many it does in a second.

    They go in halves: the first one makes all layers ready, and the second one is timed.
    """
    reference = call_model(prefix)
    halves = np.split(_whole(pictures), 2)
    first = reference(halves[0])
    start = time.monotonic()
    second = reference(halves[1])
    speed = len(halves[1]) / (time.monotonic() - start)
    joined = (np.concatenate(parts) for parts in zip(first, second, strict=True))
    return [part[: len(pictures)] for part in joined], speed


def _order(wanted: str, before: str | None) -> list[str]:
    if wanted != "auto":
        return [wanted]
    return list(dict.fromkeys([*([before] if before else []), *engines.list_candidates()]))


def _check_engine(
    name: str,
    prefix: keras.Model,
    pictures: np.ndarray,
    expected: list[np.ndarray],
) -> Engine | str:
    """Make an engine ready, or say why it is refused."""
    try:
        run = ENGINES[name](prefix)
        error = largest_error(next(run([pictures])), expected)
    # Whatever an engine cannot compile, another one can: TensorFlow runs every network.
    except Exception as failure:
        if name == "tensorflow":
            raise
        return f"engine {name} cannot run these layers ({first_line(failure)})"
    if not error <= TOLERANCE:
        return (
            f"engine {name} was refused: its features differ from Keras's by {error:.2g} "
            f"(at most {TOLERANCE:g} is accepted)"
        )
    return Engine(name, run, error)


def largest_error(features: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Relative Euclidean difference of the output that differs most.

    Args:
        features, expected: ``[pictures, …]`` for each output. The difference is relative to
            what is expected, less its mean over two pictures or more.
    """
    errors = []
    for one, other in zip(features, expected, strict=True):
        common = other.mean(axis=0) if len(other) > 1 else 0.0
        least = max(_LEAST_SPREAD * float(np.linalg.norm(other)), 1e-12)
        scale = max(float(np.linalg.norm(other - common)), least)
        errors.append(float(np.linalg.norm(one - other)) / scale)
    return float(np.max(errors))  # unlike `max`, not a number where one of them is none


def _speed(engine: Engine) -> float:
    return engine.pictures_per_second or 0.0


def _time(engine: Engine, pictures: np.ndarray) -> float:
    """Pictures a second over a few batches; the first call, which compiles, has been made."""
    batch = _whole(pictures)
    start = time.monotonic()
    for _ in engine.run(repeat(batch, _TRIAL_BATCHES)):
        pass
    return _TRIAL_BATCHES * len(batch) / (time.monotonic() - start)


def _whole(pictures: np.ndarray) -> np.ndarray:
    """Pictures as one batch of the size that engines are compiled for."""
    return fill_up(pictures, BATCH)
