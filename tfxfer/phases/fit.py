"""Train one phase."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf
from rich.console import Console

from tfxfer.backbones.blocks import Block
from tfxfer.backbones.build import Backbone
from tfxfer.config import PhaseConfig
from tfxfer.errors import InputError
from tfxfer.heads import Head, build_model
from tfxfer.phases.keep_best import KeepBest
from tfxfer.phases.optimizers import LayerwiseAdamW
from tfxfer.phases.progress import ProgressBar
from tfxfer.phases.schedules import layerwise_factors, warmup_cosine
from tfxfer.phases.unfreeze import count_parameters, unfreeze_top
from tfxfer.records import PhaseResult


@dataclass(frozen=True)
class FitData:
    """Datasets of a run: batches for training, and the validation pictures as they are."""

    training: tf.data.Dataset
    validation: tf.data.Dataset
    steps_per_epoch: int
    batch_size: int


def prepare_phase(
    backbone: Backbone, head: Head, phase: PhaseConfig, steps_per_epoch: int
) -> tuple[keras.Model, tuple[Block, ...]]:
    """Freeze and unfreeze, join the model, and compile it for the phase.

    Returns:
        The compiled model and its unfrozen blocks.
    """
    unfrozen = unfreeze_top(backbone.network, backbone.blocks, phase.unfreeze, phase.batch_norm)
    model = build_model(backbone, head, trains_batch_norm=phase.batch_norm == "train")
    depths = {
        weight.path: depth
        for depth, block in enumerate(reversed(unfrozen), start=1)
        for layer in block.layers
        for weight in backbone.network.get_layer(layer).trainable_weights
    }
    steps = count_epochs(phase, steps_per_epoch) * steps_per_epoch
    model.compile(
        optimizer=LayerwiseAdamW(
            warmup_cosine(phase.learning_rate, steps, phase.warmup),
            factors=layerwise_factors(depths, phase.layer_decay),
            decay=phase.weight_decay,
            clip_norm=phase.clip_norm,
        ),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=phase.label_smoothing),
        metrics=[
            keras.metrics.CategoricalAccuracy(name="accuracy"),
            keras.metrics.CategoricalCrossentropy(name="cross_entropy"),
        ],
    )
    return model, unfrozen


def count_epochs(phase: PhaseConfig, steps_per_epoch: int) -> int:
    """Epochs of a phase: its own number, or more where that makes fewer than ``min_steps``."""
    return max(phase.epochs, math.ceil(phase.min_steps / steps_per_epoch))


def fit_phase(
    backbone: Backbone,
    head: Head,
    phase: PhaseConfig,
    data: FitData,
    previous: PhaseResult | None,
    log_folder: Path,
    console: Console,
) -> PhaseResult:
    """Train one phase and leave the weights of its best epoch in the backbone and the head.

    Where no epoch is better on validation than what the phase before ended with, the weights from
    before this phase come back, and the result says so (``best_epoch`` 0).

    Raises:
        InputError: the loss is no number any more.
        tf.errors.ResourceExhaustedError: memory does not suffice; see `memory_errors`.
    """
    start = time.monotonic()
    model, unfrozen = prepare_phase(backbone, head, phase, data.steps_per_epoch)
    epochs = count_epochs(phase, data.steps_per_epoch)
    bar = ProgressBar(phase.name, epochs, data.steps_per_epoch, data.batch_size, console)
    best = KeepBest(phase.patience, previous)
    try:
        history = model.fit(
            data.training,
            validation_data=data.validation,
            epochs=epochs,
            callbacks=[
                keras.callbacks.TensorBoard(log_folder / phase.name, write_graph=False),
                bar,
                best,
            ],
            shuffle=False,  # tf.data has shuffled
            verbose=0,
        ).history
    finally:
        bar.close()
    figures = {key: [float(value) for value in values] for key, values in history.items()}
    _check_finite(phase, figures)
    best.restore()
    return PhaseResult(
        name=phase.name,
        unfrozen=tuple(block.name for block in unfrozen),
        trainable_parameters=count_parameters(model.trainable_weights),
        epochs=len(figures["loss"]),
        best_epoch=best.epoch,
        val_accuracy=best.accuracy,
        val_cross_entropy=best.cross_entropy,
        seconds=time.monotonic() - start,
        history=figures,
    )


@contextmanager
def memory_errors(batch_size: int) -> Iterator[None]:
    """Turn TensorFlow's out-of-memory error into one that names a batch to try."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise out_of_memory(batch_size, max(1, batch_size // 2)) from error


def out_of_memory(batch_size: int, suggestion: int) -> InputError:
    """The error for a batch that does not fit in memory."""
    return InputError(
        f"A batch and what training keeps of it must fit in memory. Received: "
        f"data.batch_size={batch_size}. Try --set data.batch_size={suggestion}, fewer unfrozen "
        "blocks or smaller pictures (--set backbone.image_size_px=…)."
    )


def _check_finite(phase: PhaseConfig, figures: dict[str, list[float]]) -> None:
    if not all(math.isfinite(value) for values in figures.values() for value in values):
        lower = min(phase.learning_rate / 10, 1e-3)
        raise InputError(
            f"The loss of phase {phase.name!r} is no number any more. Received: "
            f"learning_rate={phase.learning_rate:g}. Lower it, for example with "
            f"--set phases.{phase.name}.learning_rate={lower:g}"
        )
