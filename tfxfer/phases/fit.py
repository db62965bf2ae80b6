"""The training of one phase."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import keras

from tfxfer.machine.devices import find_device
from tfxfer.machine.progress import ProgressBar
from tfxfer.phases.curves import Curves
from tfxfer.phases.finite import Attempt, StayFinite, fit_or_retry
from tfxfer.phases.keep_best import KeepBest, Standing
from tfxfer.phases.parts import PhaseRun
from tfxfer.phases.precision import choose_precision, in_precision, list_candidates
from tfxfer.phases.prepare import layers_of, prepare_phase
from tfxfer.phases.schedules import warmup_cosine
from tfxfer.phases.span import Span, load_state, save_state
from tfxfer.phases.unfreeze import count_parameters
from tfxfer.phases.validate import Validate
from tfxfer.records.results import PhaseResult
from tfxfer.task import Solution


def fit_phase(run: PhaseRun) -> PhaseResult:
    """Train one phase and leave the weights of its best epoch in the backbone and the head.

    If no epoch is better on validation than the end of the phase before, the weights from before
    this phase are restored, and the result says so (``has_improved``).

    Raises:
        InputError: The loss is no number any more in float32, or Keras's backend does not have
            the phase's precision.
        StateError: The span's state is damaged or belongs to another model.
        Exception: Memory does not suffice; the error is the backend's own, see phases/memory.py.
    """
    start = time.monotonic()
    best, validate = _make_best(run), make_validate(run)
    rows = run.data.share.total(sum(map(len, run.data.tables)))
    if run.parts.is_solved(rows):
        model = prepare_phase(run.parts, steps=run.steps)
        found = _solve(run, model, best)
    else:
        model, found = _take_steps(run, best, validate)
    if run.watch.tell:
        run.watch.tell(validate.predict(model))
    return PhaseResult(
        name=run.phase.name,
        unfrozen=tuple(block.name for block in run.parts.unfrozen),
        cut=run.data.cut.name,
        views=run.data.views,
        trainable_parameters=count_parameters(model.trainable_weights),
        seconds=time.monotonic() - start,
        **found,
        **_outcome(run, best),
    )


def make_validate(run: PhaseRun) -> Validate:
    """Make the callback that measures the epochs of a phase on validation."""
    data, parts = run.data, run.parts
    return Validate(
        data.validation,
        data.labels[1],
        objective=parts.objective,
        share=data.share,
        layers=layers_of(parts.backbone.network, parts.unfrozen),
    )


def _make_best(run: PhaseRun) -> KeepBest:
    """Make the callback that keeps the best weights, beginning with those from before the phase."""
    objective = run.parts.objective
    return KeepBest(
        run.phase.patience,
        Standing.of(run.previous),
        items=run.data.share.total(len(run.data.labels[1])),
        metric=objective.chosen_by,
        keeps_last=objective.keeps_last,
    )


def _outcome(run: PhaseRun, best: KeepBest) -> dict[str, Any]:
    """Return how a phase ended on validation, by the names of `PhaseResult`."""
    chosen_by = run.parts.objective.chosen_by
    return {
        "has_improved": best.standing != Standing.of(run.previous),
        "best_epoch": best.epoch,
        "chosen_by": chosen_by,
        "val_accuracy": best.standing.accuracy,
        "val_cross_entropy": best.standing.cross_entropy,
        f"val_{chosen_by}": best.standing.score,
    }


def _solve(run: PhaseRun, model: keras.Model, best: KeepBest) -> dict[str, Any]:
    """Fit the head, and give it the solution unless its weights are better on validation."""
    data, objective = run.data, run.parts.objective
    with run.watch.console.status("Fitting the head by logistic regression"):
        solution: Solution = objective.solve(data.tables, data.labels, run.phase, share=data.share)
    if best.standing.is_beaten_by(solution.score, solution.cross_entropy):
        model.layers[-1].set_weights([solution.kernel, solution.bias])
        best.standing = Standing(solution.score, solution.cross_entropy, solution.accuracy)
    return {
        "solver": "logistic",
        "precision": "float32",
        "epochs": 0,
        "history": {},
        "inverse_penalty": solution.strength,
        "evenness": solution.evenness,
    }


def _take_steps(
    run: PhaseRun, best: KeepBest, validate: Validate
) -> tuple[keras.Model, dict[str, Any]]:
    """Train by gradient steps, and put the best weights back."""
    attempt = Attempt(
        layers=layers_of(run.parts.backbone.network, run.parts.unfrozen),
        build=lambda precision: prepare_phase(run.parts, steps=run.steps, precision=precision),
        fit=partial(_fit_steps, run, (validate, best)),
        phase=run.phase,
        say=run.watch.say,
    )
    precision, model = _choose_precision(run, attempt)
    precision, model, figures = fit_or_retry(attempt, model, precision, run.span)
    if run.span.left:
        save_state(run.span.left, model, best)
    best.restore()
    return model, {
        "solver": "adamw",
        "precision": precision,
        "epochs": len(figures.get("loss", ())),
        "history": figures,
    }


def _fit_steps(
    run: PhaseRun,
    measures: tuple[Validate, KeepBest],
    model: keras.Model,
    *,
    precision: str,
    span: Span,
    finite: StayFinite,
) -> dict[str, list[float]]:
    """Call `fit`, and return its figures by epoch.

    Args:
        measures: The callbacks that measure the epochs and keep the best one.
    """
    phase, data = run.phase, run.data
    validate, best = measures
    if span.state:
        load_state(span.state, model, best)
    bar = ProgressBar(
        phase.name,
        epochs=phase.epochs,
        steps=data.steps_per_epoch,
        batch_size=data.batch_size,
        console=run.watch.console,
        rate=warmup_cosine(phase.learning_rate, run.steps, phase.warmup),
        metric=run.parts.objective.chosen_by,
    )
    also = [*([run.watch.keep(best, precision)] if run.watch.keep else []), finite]
    try:
        history = model.fit(
            data.make_training(span.start),
            initial_epoch=span.start,
            epochs=span.stop or phase.epochs,
            steps_per_epoch=data.steps_per_epoch,
            callbacks=[*_make_callbacks(run, validate, best), bar, *also, *_tell_epochs(run)],
            shuffle=False,  # The batches are shuffled already.
            verbose=0,
        ).history
    finally:
        bar.close()
    return {key: [float(value) for value in values] for key, values in history.items()}


def _make_callbacks(
    run: PhaseRun, validate: Validate, best: KeepBest
) -> list[keras.callbacks.Callback]:
    """Make the callbacks that measure the epochs, keep the best and write curves.

    The last two read the figures that the first one adds.
    """
    return [validate, best, Curves(run.watch.logs / run.phase.name, run.watch.say)]


def _tell_epochs(run: PhaseRun) -> list[keras.callbacks.Callback]:
    after_epoch = run.watch.after_epoch
    if after_epoch is None:
        return []
    return [keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: after_epoch())]


def _choose_precision(run: PhaseRun, attempt: Attempt) -> tuple[str, keras.Model]:
    """Return a phase's precision and its model; a head alone is not worth a comparison."""
    phase, data = run.phase, run.data
    if phase.precision == "auto" and attempt.layers:
        device = find_device()
        candidates = list_candidates(device)
        if data.share.count > 1:
            # Each process would time the steps for itself, and some would end earlier than others.
            candidates = candidates[:1] if device.kind == "cpu" else candidates[-1:]
        return choose_precision(
            attempt.build,
            attempt.layers,
            batches=data.make_training(),
            steps=run.steps,
            candidates=candidates,
            first_step=round(phase.warmup * run.steps),
        )
    precision = "float32" if phase.precision == "auto" else phase.precision
    with in_precision(attempt.layers, precision):
        return precision, attempt.build(precision)
