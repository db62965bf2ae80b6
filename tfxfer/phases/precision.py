"""The arithmetic of the unfrozen blocks: a short comparison finds a faster one that is as good."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice

import keras
import numpy as np
import tensorflow as tf

from tfxfer.config.phases import PRECISIONS, ResolvedPhase
from tfxfer.data.items import untuned
from tfxfer.errors import InputError
from tfxfer.features.engines import in_policy
from tfxfer.machine.compiled import exact_float32, is_on
from tfxfer.machine.devices import Device, find_device

# "auto" chooses from these, by the kind of device and the compute capability that a GPU needs for
# them (tensor cores multiply float16 from 7.0 on, bfloat16 from 8.0 on). The first row that fits
# counts. A single candidate is taken without a comparison.
CANDIDATES: tuple[tuple[str, tuple[int, int], tuple[str, ...]], ...] = (
    ("tpu", (0, 0), ("mixed_bfloat16",)),
    ("gpu", (8, 0), ("float32", "mixed_float16", "mixed_bfloat16")),
    ("gpu", (7, 0), ("float32", "mixed_float16")),
    ("gpu", (0, 0), ("float32",)),
    ("cpu", (0, 0), ("float32", "bfloat16_rewrite", "mixed_bfloat16")),
)
_REWRITE = "auto_mixed_precision_onednn_bfloat16"
_STEPS = 6  # The comparison has so many steps, of which the first one compiles.
# Another arithmetic must be this much faster, and its losses over these steps this close.
_LEAST_GAIN = 1.1
_LOSS_TOLERANCE = 0.05
# Compiling takes some seconds, so only phases that take longer than this in float32 are compared.
_WORTH_SECONDS = 45.0


def list_candidates(device: Device) -> tuple[str, ...]:
    """Return the precisions that ``"auto"`` chooses from on a device, under Keras's backend."""
    capability = device.compute_capability or (0, 0)
    fitting = next(
        names for kind, least, names in CANDIDATES if kind == device.kind and capability >= least
    )
    return tuple(name for name in fitting if name != "bfloat16_rewrite" or is_on("tensorflow"))


def skip_timing(phase: ResolvedPhase) -> ResolvedPhase:
    """Take the first candidate of ``"auto"``, because timings would make the choice random."""
    if phase.precision != "auto" or phase.unfreeze == 0:
        return phase
    return phase.model_copy(update={"precision": list_candidates(find_device())[0]})


def check_precision(precision: str) -> None:
    """Refuse a precision that Keras's backend does not have.

    Raises:
        InputError: The backend lacks it; the error names the others.
    """
    if precision == "bfloat16_rewrite" and not is_on("tensorflow"):
        allowed = ", ".join(name for name in PRECISIONS if name != precision)
        raise InputError(
            f"precision must be auto, {allowed}: bfloat16_rewrite is an option of TensorFlow's "
            f"graphs. Received: precision={precision!r}, KERAS_BACKEND={keras.backend.backend()}. "
            "Take mixed_bfloat16, or KERAS_BACKEND=tensorflow."
        )


@contextmanager
def in_precision(layers: Sequence[keras.layers.Layer], precision: str) -> Iterator[None]:
    """Set the arithmetic in which a model is built, compiled and first run inside the block.

    ``bfloat16_rewrite`` is an option of TensorFlow: oneDNN's matrix products and convolutions use
    bfloat16 where its lists say that this is sound. ``mixed_float16`` and ``mixed_bfloat16`` are
    Keras policies, which are set on the layers. In all of them, weights stay float32, and so does
    the head, whose products GPUs and TPUs would round by default.

    Args:
        layers: The layers of the model that is built.
        precision: One of `PRECISIONS`.

    Raises:
        InputError: The backend lacks the precision, as in `check_precision`.
    """
    check_precision(precision)
    if precision == "bfloat16_rewrite":
        switched: AbstractContextManager[None] = _rewriting(True)
    elif precision.startswith("mixed_"):
        switched = _mixing(layers, precision)
    else:
        switched = nullcontext()
    with switched:
        yield


@contextmanager
def _mixing(layers: Sequence[keras.layers.Layer], policy: str) -> Iterator[None]:
    # Only the head, which is small, is float32 then; products of 16-bit numbers are not affected.
    with in_policy(layers, policy), exact_float32():
        yield


@contextmanager
def as_served(layers: Sequence[keras.layers.Layer]) -> Iterator[None]:
    """Compute in float32 inside the block, as the served model does, whatever stands around it.

    Args:
        layers: The layers whose policy an outer block may have changed.
    """
    with in_policy(layers, "float32"), _rewriting(False) if is_on("tensorflow") else nullcontext():
        yield


@contextmanager
def _rewriting(value: bool) -> Iterator[None]:
    before = tf.config.optimizer.get_experimental_options().get(_REWRITE, False)
    tf.config.optimizer.set_experimental_options({_REWRITE: value})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_REWRITE: before})


def choose_precision(
    build: Callable[[str], keras.Model],
    layers: Sequence[keras.layers.Layer],
    *,
    batches: tf.data.Dataset,
    steps: int,
    candidates: Sequence[str],
    first_step: int = 0,
) -> tuple[str, keras.Model]:
    """Compare some precisions on a few batches.

    Args:
        build: A function that makes a compiled model for a precision, always with the same weights.
        layers: The layers whose policy may change.
        batches: Training batches, as in `PhaseData`.
        steps: The steps of the phase, which decide whether a comparison is worth its time.
        candidates: Some of `PRECISIONS`, float32 first, by `list_candidates`; a single one needs no
            comparison.
        first_step: The step whose learning rate is used: a rate of zero would tell no gradients
            apart.

    Returns:
        The fastest one whose losses agree with those of float32, and its model, whose weights,
        optimizer and random states are as before.
    """
    if len(candidates) == 1:
        with in_precision(layers, candidates[0]):
            return candidates[0], build(candidates[0])
    held = list(islice(batches.repeat(), _STEPS))
    sample = tf.data.Dataset.from_generator(lambda: held, output_signature=batches.element_spec)
    expected, best_seconds = np.zeros(0), math.inf
    for precision in candidates:
        if best_seconds * steps < _WORTH_SECONDS:
            break
        model, seconds, losses = _try(build, layers, precision, sample, first_step)
        if precision == "float32":
            best, best_model, best_seconds, expected = precision, model, seconds, losses
        elif seconds * _LEAST_GAIN < best_seconds and agree(losses, expected):
            best, best_model, best_seconds = precision, model, seconds
    return best, best_model


def agree(losses: np.ndarray, expected: np.ndarray) -> bool:
    """Return whether losses equal those of float32 up to rounding."""
    return bool(np.all(np.abs(losses - expected) <= _LOSS_TOLERANCE * np.abs(expected)))


def _try(
    build: Callable[[str], keras.Model],
    layers: Sequence[keras.layers.Layer],
    precision: str,
    sample: tf.data.Dataset,
    first_step: int,
) -> tuple[keras.Model, float, np.ndarray]:
    """Train a few steps and undo them; return the model, the seconds of a step, and the losses."""
    with in_precision(layers, precision):
        model = build(precision)
        states = [*model.variables, *model.optimizer.variables]
        before = [np.array(state) for state in states]
        model.optimizer.iterations.assign(first_step)
        # `fit` runs on batches like the phase's, so that the phase finds its step compiled.
        clock = _Clock()
        losses = model.fit(
            untuned(sample),
            epochs=_STEPS,
            steps_per_epoch=1,
            callbacks=[clock],
            shuffle=False,
            verbose=0,
        ).history["loss"]
        for state, value in zip(states, before, strict=True):
            state.assign(value)
        model.reset_metrics()
    return model, float(np.median(clock.seconds[1:])), np.array(losses)


class _Clock(keras.callbacks.Callback):
    """A callback that measures the seconds of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_train_batch_begin(self, batch, logs=None):
        self._start = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds.append(time.monotonic() - self._start)
