"""The training of one phase."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.blocks import Block
from tfxfer.config.phases import ResolvedPhase
from tfxfer.features.cut import Cut, build_suffix
from tfxfer.features.feed import PhaseData
from tfxfer.machine.compiled import compile_model, predict
from tfxfer.machine.devices import find_device
from tfxfer.machine.progress import ProgressBar
from tfxfer.phases.finite import StayFinite, fit_or_retry
from tfxfer.phases.keep_best import KeepBest, Standing
from tfxfer.phases.optimizers import LayerwiseAdamW
from tfxfer.phases.precision import choose_precision, in_precision, list_candidates
from tfxfer.phases.schedules import layerwise_factors, warmup_cosine
from tfxfer.phases.span import WHOLE, Span, load_state, save_state
from tfxfer.phases.unfreeze import count_parameters, unfreeze_top
from tfxfer.phases.validate import Validate
from tfxfer.records.results import PhaseResult
from tfxfer.tasks.heads import Head, build_model
from tfxfer.tasks.losses import make_loss, make_metrics
from tfxfer.tasks.objective import PLAIN, Objective
from tfxfer.tasks.solver import Solution, check_solver, solve_head


def prepare_phase(
    backbone: Backbone,
    head: Head,
    phase: ResolvedPhase,
    cut: Cut,
    steps: int,
    objective: Objective = PLAIN,
    precision: str = "float32",
) -> tuple[keras.Model, tuple[Block, ...]]:
    """Freeze and unfreeze blocks, join the trainable ones with the head, and compile the model.

    Args:
        cut: the model starts from its features; at the pictures, it is the whole network.
        steps: optimizer steps of the phase.
        objective: what the loss is of.
        precision: that the model is built in, as in `in_precision`; in mixed_float16, the loss is
            scaled, so that gradients do not vanish.

    Returns:
        The compiled model, whose optimizer is built, and its unfrozen blocks.
    """
    unfrozen = unfreeze_top(backbone.network, backbone.blocks, phase.unfreeze, phase.batch_norm)
    trains_batch_norm = phase.batch_norm == "train"
    if len(unfrozen) == len(backbone.blocks):
        model = build_model(backbone, head, trains_batch_norm or backbone.keeps_dropout)
    else:
        model = build_suffix(backbone, head, cut, trains_batch_norm)
    depths = {
        weight.path: depth
        for depth, block in enumerate(reversed(unfrozen), start=1)
        for layer in block.layers
        for weight in backbone.network.get_layer(layer).trainable_weights
    }
    optimizer: keras.optimizers.Optimizer = LayerwiseAdamW(
        warmup_cosine(phase.learning_rate, steps, phase.warmup),
        factors=layerwise_factors(depths, phase.layer_decay),
        decay=phase.weight_decay,
        clip_norm=phase.clip_norm,
    )
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(
        optimizer=optimizer,
        loss=make_loss(objective, phase.label_smoothing),
        metrics=make_metrics(objective),
        # Keras asks for the policy of the model itself; here each layer has its own.
        auto_scale_loss=False,
    )
    # Without this, the first step would make these variables, and TensorFlow would trace it twice.
    model.optimizer.build(model.trainable_variables)
    return model, unfrozen


def fit_phase(
    backbone: Backbone,
    head: Head,
    phase: ResolvedPhase,
    data: PhaseData,
    previous: PhaseResult | None,
    log_folder: Path,
    console: Console,
    after_epoch: Callable[[], None] | None = None,
    objective: Objective = PLAIN,
    span: Span = WHOLE,
    tell: Callable[[np.ndarray], None] | None = None,
    say: Callable[[str], None] | None = None,
    keep: Callable[[KeepBest, str], keras.callbacks.Callback] | None = None,
) -> PhaseResult:
    """Train one phase and leave the weights of its best epoch in the backbone and the head.

    If no epoch is better on validation than the end of the phase before, the weights from before
    this phase are restored, and the result says so (``has_improved``).

    Args:
        phase: what to do.
        objective: what the loss is of, and what the epochs are chosen by.
        span: epochs to train now; a head that is solved knows none.
        tell: is given the probabilities of the validation pictures ``[pictures, classes]``, as
            the weights that were kept give them for the phase's own features.
        say: is given a note where the phase had to go on in float32, which its result's
            ``precision`` says too.
        keep: makes a callback that keeps how far the phase is, of what is best and the precision.

    Raises:
        InputError: the loss is no number any more in float32, or the phase's precision is not one
            of Keras's backend.
        StateError: the span's state is damaged or of another model.
        Exception: the backend's own, where memory does not suffice; see phases/memory.py.
    """
    start = time.monotonic()
    steps = phase.epochs * data.steps_per_epoch

    def build(precision: str) -> keras.Model:
        return prepare_phase(backbone, head, phase, data.cut, steps, objective, precision)[0]

    def fit(
        model: keras.Model, precision: str, span: Span, finite: StayFinite
    ) -> dict[str, list[float]]:
        also = [*([keep(best, precision)] if keep else []), finite]
        return _fit_steps(
            model, phase, data, best, log_folder, console, after_epoch, objective, span, also
        )

    unfrozen = unfreeze_top(backbone.network, backbone.blocks, phase.unfreeze, phase.batch_norm)
    layers = layers_of(backbone.network, unfrozen)
    before, share = Standing.of(previous), data.share
    held_out = share.total(len(data.labels[1]))
    best = KeepBest(phase.patience, before, held_out, objective.chosen_by, objective.keeps_last)
    figures: dict[str, list[float]] = {}
    rows = share.total(sum(map(len, data.tables)))
    is_solved = check_solver(phase, head, data.cut, rows, objective)
    solution = None
    if is_solved:
        model, precision = build("float32"), "float32"
        with console.status("Fitting the head by logistic regression"):
            solution = _solve(model, phase, data, objective, best)
    else:
        precision, model = _choose_precision(build, layers, phase, data, steps)
        precision, model, figures = fit_or_retry(
            model, precision, layers, build, fit, phase, span, say
        )
        if span.left:
            save_state(span.left, model, best)
        best.restore()
    if tell:
        features = (batch for batch, _ in data.validation.as_numpy_iterator())
        tell(predict(compile_model(model), features))
    return PhaseResult(
        name=phase.name,
        unfrozen=tuple(block.name for block in unfrozen),
        cut=data.cut.name,
        views=data.views,
        solver="logistic" if is_solved else "adamw",
        precision=precision,
        inverse_penalty=solution.strength if solution else None,
        evenness=solution.evenness if solution else None,
        trainable_parameters=count_parameters(model.trainable_weights),
        epochs=len(figures.get("loss", ())),
        seconds=time.monotonic() - start,
        history=figures,
        **_outcome(best, before, objective.chosen_by),
    )


def _outcome(best: KeepBest, before: Standing, chosen_by: str) -> dict[str, Any]:
    """Return the validation figures at the end of a phase, by the names of `PhaseResult`."""
    return {
        "has_improved": best.standing != before,
        "best_epoch": best.epoch,
        "chosen_by": chosen_by,
        "val_accuracy": best.standing.accuracy,
        "val_cross_entropy": best.standing.cross_entropy,
        f"val_{chosen_by}": best.standing.score,
    }


def _fit_steps(
    model: keras.Model,
    phase: ResolvedPhase,
    data: PhaseData,
    best: KeepBest,
    log_folder: Path,
    console: Console,
    after_epoch: Callable[[], None] | None,
    objective: Objective,
    span: Span,
    also: Sequence[keras.callbacks.Callback],
) -> dict[str, list[float]]:
    """Call `fit`, and return its figures by epoch."""
    if span.state:
        load_state(span.state, model, best)
    steps, size = data.steps_per_epoch, data.batch_size
    rate = warmup_cosine(phase.learning_rate, phase.epochs * steps, phase.warmup)
    bar = ProgressBar(phase.name, phase.epochs, steps, size, console, rate, objective.chosen_by)
    curves = keras.callbacks.TensorBoard(log_folder / phase.name, write_graph=False)
    # The curves are written once an epoch; without this, JAX would wait for the loss of every step.
    curves.async_safe = True
    # `Validate` comes before the callbacks that read its figures.
    validate = Validate(data.validation, data.labels[1], objective, data.share)
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda n, _: data.epochs.start(n))
    callbacks = [begin, validate, best, curves, bar, *also]
    if after_epoch:
        callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: after_epoch()))
    try:
        history = model.fit(
            data.make_training(span.start),
            initial_epoch=span.start,
            epochs=span.stop or phase.epochs,
            callbacks=callbacks,
            shuffle=False,  # tf.data has shuffled already.
            verbose=0,
        ).history
    finally:
        bar.close()
    return {key: [float(value) for value in values] for key, values in history.items()}


def _solve(
    model: keras.Model, phase: ResolvedPhase, data: PhaseData, objective: Objective, best: KeepBest
) -> Solution:
    """Fit the head, and give it the solution if that is better on validation than its weights."""
    chosen = (phase.inverse_penalty, phase.evenness)
    solution = solve_head(data.tables, *data.labels, objective, *chosen, data.share)
    if best.standing.is_beaten_by(solution.score, solution.cross_entropy):
        # The last bits of a fit depend on the machine, and all processes need the same head.
        weights = data.share.take_first([solution.kernel, solution.bias])
        model.layers[-1].set_weights(weights)
        best.standing = Standing(solution.score, solution.cross_entropy, solution.accuracy)
    return solution


def _choose_precision(
    build: Callable[[str], keras.Model],
    layers: Sequence[keras.layers.Layer],
    phase: ResolvedPhase,
    data: PhaseData,
    steps: int,
) -> tuple[str, keras.Model]:
    """Return the precision of a phase, and its model; a head alone is not worth a comparison."""
    if phase.precision == "auto" and layers:
        warmed_up = round(phase.warmup * steps)
        device = find_device()
        candidates = list_candidates(device)
        if data.share.count > 1:
            # Each process would time the steps for itself, and some would end earlier than others.
            candidates = candidates[:1] if device.kind == "cpu" else candidates[-1:]
        batches = data.make_training()
        return choose_precision(build, layers, batches, steps, candidates, warmed_up)
    precision = "float32" if phase.precision == "auto" else phase.precision
    with in_precision(layers, precision):
        return precision, build(precision)


def layers_of(network: keras.Model, blocks: Sequence[Block]) -> list[keras.layers.Layer]:
    """Return all layers of some blocks, also those without weights and those inside of others."""
    names = {name for block in blocks for name in block.operations}
    return [
        inner
        for layer in network.layers
        if layer.name in names and not isinstance(layer, keras.layers.InputLayer)
        for inner in layer._flatten_layers()
    ]
