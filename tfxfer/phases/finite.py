"""Training that stops when numbers overflow, and goes on in float32 from the last good weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import keras
import numpy as np

from tfxfer.config.phases import ResolvedPhase
from tfxfer.errors import InputError
from tfxfer.phases.precision import in_precision
from tfxfer.phases.span import Span


@dataclass(frozen=True)
class Failure:
    """The place where a loss or a validation metric was infinite or NaN.

    Attributes:
        epoch: The number of the epoch, from 1.
        step: The number of the step in the epoch, from 1; None for the validation.
    """

    epoch: int
    step: int | None = None

    def __str__(self) -> str:
        return f"epoch {self.epoch}, " + (f"step {self.step}" if self.step else "validation")


class StayFinite(keras.callbacks.Callback):
    """A callback that ends the training at a figure that is not finite, and keeps the last state.

    If `keras.optimizers.LossScaleOptimizer` leaves out a step because its gradients overflowed, the
    loss is finite, and the training goes on.

    Args:
        keeps: Whether weights and optimizer are copied after each epoch, for `restore`.

    Attributes:
        failure: Where the training ended; None if everything was finite.
        epochs: The number of the epoch, from 0, at which training goes on after `restore`.
    """

    # JAX goes on with the next steps meanwhile; steps after a failure are undone.
    async_safe = True

    def __init__(self, keeps: bool):
        super().__init__()
        self._keeps = keeps
        self.failure: Failure | None = None
        self.epochs = 0
        self._values: list[np.ndarray] = []

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        if not self._values:
            self._keep(epoch)  # This is the state at the beginning.

    def on_train_batch_end(self, batch, logs=None):
        # The logs hold the mean over the epoch so far, which stays NaN after the first NaN.
        if not math.isfinite(logs["loss"]):
            self._fail(Failure(self._epoch + 1, batch + 1))

    def on_epoch_end(self, epoch, logs=None):
        if all(map(math.isfinite, logs.values())):
            self._keep(epoch + 1)
        else:
            self._fail(Failure(epoch + 1))

    def restore(self, model: keras.Model) -> None:
        """Put the state of the last good epoch into a model with the same layers and optimizer.

        It does not matter whether one of the two models scales its loss.
        """
        for variable, value in zip(_state_of(model), self._values, strict=True):
            variable.assign(value)

    def _keep(self, epochs: int) -> None:
        if self._keeps:
            self._values = [np.array(variable) for variable in _state_of(self.model)]
            self.epochs = epochs

    def _fail(self, failure: Failure) -> None:
        # Steps may be reported in another order.
        earlier = self.failure
        if earlier is None or (earlier.step and failure.step and failure.step < earlier.step):
            self.failure = failure
        self.model.stop_training = True


class Fit(Protocol):
    """A function that trains a model of a precision through a span, and returns epochs' figures."""

    def __call__(
        self, model: keras.Model, *, precision: str, span: Span, finite: StayFinite
    ) -> dict[str, list[float]]: ...


@dataclass(frozen=True)
class Attempt:
    """The parts that train a phase in one precision, and again in float32.

    Attributes:
        layers: The layers that take the policy of the precision.
        build: A function that makes a compiled model for a precision, always over the same weights.
        fit: A function that trains such a model, with a callback that may end the training.
        say: A function that is given a note if the precision was changed.
    """

    layers: Sequence[keras.layers.Layer]
    build: Callable[[str], keras.Model]
    fit: Fit
    phase: ResolvedPhase
    say: Callable[[str], None] | None = None


def fit_or_retry(
    attempt: Attempt, model: keras.Model, precision: str, span: Span
) -> tuple[str, keras.Model, dict[str, list[float]]]:
    """Train a phase; after an overflow, go on in float32 from the last good epoch.

    Args:
        model: The model that `attempt.build` makes for the precision.
        span: The epochs to train.

    Returns:
        The precision of the last epochs, their model, and the figures of all epochs.

    Raises:
        InputError: The loss is not finite in float32 either.
    """
    finite = StayFinite(keeps=precision != "float32")
    with in_precision(attempt.layers, precision):
        figures = attempt.fit(model, precision=precision, span=span, finite=finite)
    if finite.failure is None:
        return precision, model, figures
    if precision == "float32":
        raise _not_finite(attempt.phase, finite.failure)
    if attempt.say:
        attempt.say(_describe(attempt.phase, finite, precision))
    again = attempt.build("float32")
    finite.restore(again)
    rest = replace(span, start=finite.epochs, state=None)
    last, again, more = fit_or_retry(attempt, again, "float32", rest)
    good = finite.epochs - span.start
    return last, again, {name: figures[name][:good] + values for name, values in more.items()}


def _describe(phase: ResolvedPhase, finite: StayFinite, precision: str) -> str:
    """Say what happened, and from where the phase goes on."""
    start = f"those of epoch {finite.epochs}" if finite.epochs else "those from before the phase"
    return (
        f"phase {phase.name!r}, {finite.failure}: the loss was no number any more in {precision}; "
        f"the last good weights, {start}, went on in float32"
    )


def _not_finite(phase: ResolvedPhase, failure: Failure) -> InputError:
    lower = min(phase.learning_rate / 10, 1e-3)
    return InputError(
        f"The loss of phase {phase.name!r} must be a number, and is none any more in float32 "
        f"({failure}). Received: learning_rate={phase.learning_rate:g}. Lower it, for example with "
        f"--set phases.{phase.name}.learning_rate={lower:g}"
    )


def _state_of(model: keras.Model) -> Iterable[keras.Variable]:
    """Return weights, random states, and the optimizer's variables except those of loss scaling."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return (*model.variables, *optimizer.variables)
