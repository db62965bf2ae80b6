"""The score of one config of a search, by the same training as in `tfxfer.train`."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from tfxfer import run
from tfxfer.backbones.weights import check_weights
from tfxfer.cache.digest import digest
from tfxfer.config.config import Config
from tfxfer.config.former import identify
from tfxfer.data.items import ItemData
from tfxfer.errors import InputError
from tfxfer.features.cut import Cut, find_cut
from tfxfer.machine.disks import disk_errors
from tfxfer.machine.keras_settings import float32_policy
from tfxfer.machine.processes import ALONE
from tfxfer.phases.memory import memory_errors
from tfxfer.phases.parts import Watch
from tfxfer.phases.span import WHOLE, Span
from tfxfer.records.proportions import wilson_interval
from tfxfer.records.results import PhaseResult
from tfxfer.records.searches import Trial
from tfxfer.report.console import make_console
from tfxfer.training.disks import list_places
from tfxfer.training.job import Job, load_items, make_job
from tfxfer.training.phase import Turn, train_phase
from tfxfer.training.teacher import add_teacher


class BudgetOverError(Exception):
    """An error which says that the time of a search is over in the middle of a trial."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a phase.

    Attributes:
        result: The result of the phase.
        right: ``[validation items]`` bool; None if the task does not compare by item.
        weights: The weights of the head's layers, if the phase trained the head alone.
    """

    result: PhaseResult
    right: np.ndarray | None
    weights: list[Any] = field(default_factory=list)


@dataclass
class Bench:
    """The things that the trials of one process share.

    Attributes:
        depths: The depths of the search, whose features are stored in one pass.
        console: The terminal to write to.
        until: When to stop, in seconds since 1970; None means never.
        heads: The outcomes of heads alone, by a digest of all that decides them.
        items: The loaded items, by a digest of all that decides them.
    """

    depths: tuple[int, ...]
    console: Console
    until: float | None = None
    heads: dict[str, Outcome] = field(default_factory=dict)
    items: dict[str, ItemData] = field(default_factory=dict)

    def check_time(self) -> None:
        """End a trial when the search's time is over.

        Raises:
            BudgetOverError: The time is over.
        """
        if self.until is not None and time.time() >= self.until:
            raise BudgetOverError

    def load(self, config: Config) -> ItemData:
        """Load the items of a config once; how batches are drawn does not change them."""
        plain = config.data.model_copy(update={"batch_size": 1, "balance": "none"})
        # The flip matters, because mirror images are copies if items may be flipped.
        key = digest(repr(plain), str(config.seed), str(config.augmentation.mirrors))
        if key not in self.items:
            check_weights(config.backbone)  # It may take long to load the items.
            loaded = load_items(config, self.console, share=ALONE)
            self.items[key] = add_teacher(loaded, config, self.console)
        return self.items[key]


@float32_policy()
def score_config(
    config: Config,
    bench: Bench,
    trial: Trial,
    folder: Path,
    span: Span = WHOLE,
) -> Trial:
    """Train a config and evaluate it on validation; the test items stay unread.

    Args:
        config: The config.
        bench: The things that trials share.
        trial: The trial's number and values.
        folder: The folder of its curves.
        span: The epochs of the last phase to train now, unless that trains the head alone.

    Returns:
        The finished trial, or a failed one if the config cannot be trained.

    Raises:
        BudgetOverError: The time is over, after an epoch or between phases.
    """
    started = time.monotonic()
    try:
        places = list_places(config, folder)
        with memory_errors(config.data.batch_size), disk_errors(places):
            job = make_job(config, bench.load(config), make_console(is_quiet=True), share=ALONE)
            unfrozen = job.phases[-1].unfreeze
            trial = replace(trial, unfrozen=unfrozen, blocks=len(job.backbone.blocks))
            outcomes = _train(config, job, bench, folder, span)
    except InputError as error:
        trial = replace(trial, status="failed", message=str(error))
    else:
        trial = _sum_up(trial, job, outcomes, span)
    finally:
        keras.backend.clear_session(free_memory=False)
        gc.collect()  # Layers refer to one another, so that only the collector frees them.
    return replace(trial, seconds=time.monotonic() - started, finished=time.time())


def _train(config: Config, job: Job, bench: Bench, folder: Path, span: Span) -> list[Outcome]:
    """Train the phases; a head that another trial has trained is taken from there."""
    outcomes: list[Outcome] = []
    head, backbone = job.head, job.backbone
    head.classify(keras.Input((head.count_pooled(backbone.network.output.shape),)))
    for position, phase in enumerate(job.phases):
        bench.check_time()
        if span.state and phase is not job.phases[-1]:
            continue  # The state of the earlier rung includes the results of these phases.
        is_untrained = all(each.unfreeze == 0 for each in job.phases[:position])
        is_head = is_untrained and phase.unfreeze == 0
        key = _key(config, position)
        if is_head and key in bench.heads:
            outcomes.append(bench.heads[key])
            for layer, weights in zip(head.layers, outcomes[-1].weights, strict=True):
                layer.set_weights(weights)
            continue
        told: list[np.ndarray] = []
        console = job.features.recorder.console
        watch = Watch(folder / run.TENSORBOARD, console, bench.check_time, told.append)
        result = train_phase(
            Turn(
                job,
                position,
                [outcome.result for outcome in outcomes],
                watch,
                span if phase is job.phases[-1] and phase.unfreeze != 0 else WHOLE,
                _cuts(job, bench.depths) if is_untrained else (),
            )
        )
        labels = job.items.validation.labels
        right = labels.are_right(told[0]) if job.items.task.compares_by_item else None
        outcomes.append(Outcome(result, right))
        if is_head:
            weights = [layer.get_weights() for layer in head.layers]
            bench.heads[key] = replace(outcomes[-1], weights=weights)
    return outcomes


def _cuts(job: Job, depths: tuple[int, ...]) -> list[Cut]:
    """Return where the trials of a search cut this network, deepest first."""
    backbone, head = job.backbone, job.head
    inner = [depth for depth in depths if depth < len(backbone.blocks)]
    return [find_cut(backbone, head, depth) for depth in sorted(inner, reverse=True)]


def _sum_up(trial: Trial, job: Job, outcomes: list[Outcome], span: Span) -> Trial:
    """Return a trial with the results of its phases."""
    last, right = outcomes[-1].result, outcomes[-1].right
    head = trial if span.state else outcomes[0].result  # A shorter rung has trained the head then.
    items = len(job.items.validation.labels)
    phase = job.phases[-1]
    return replace(
        trial,
        status="done",
        epochs=span.start + last.epochs if phase.unfreeze != 0 else 0,
        planned_epochs=phase.epochs if phase.unfreeze != 0 else 0,
        trainable_parameters=last.trainable_parameters,
        accuracy=last.val_accuracy,
        cross_entropy=last.val_cross_entropy,
        score=last.val_score,
        chosen_by=last.chosen_by,
        pictures=items,
        interval=wilson_interval(round(last.val_accuracy * items), items),
        right="" if right is None else "".join("01"[int(each)] for each in right),
        is_cut_short=span.stop is not None and span.stop < phase.epochs and phase.unfreeze != 0,
        precision=last.precision,
        inverse_penalty=head.inverse_penalty,
        evenness=head.evenness,
    )


def _key(config: Config, position: int) -> str:
    """Return a digest of all that decides how the first phases of a config end."""
    phases = config.phases[: position + 1]
    return digest(identify(config.model_copy(update={"phases": phases, "summary": ""})))
