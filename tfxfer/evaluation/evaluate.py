"""The evaluation of a model: it predicts items and compares the results with their labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from tfxfer.cache.folder import locate
from tfxfer.config.config import DataSettings
from tfxfer.data.items import ItemSet
from tfxfer.data.listing import Listing
from tfxfer.errors import InputError
from tfxfer.evaluation.chosen import choose_split, find_bad, keep
from tfxfer.evaluation.class_map import map_classes
from tfxfer.kinds import TASKS
from tfxfer.machine import runtime
from tfxfer.machine.progress import counting_items
from tfxfer.prediction.predict_set import predict_set
from tfxfer.prediction.predictor import PredictionError, Predictor
from tfxfer.records.evaluations import EvaluationReport, ItemResult
from tfxfer.records.plans import BadFile
from tfxfer.sources.sources import list_items
from tfxfer.task import Labels

# A probability may exceed 1 by a rounding error.
_MOST_PROBABLE = 1.001


@dataclass(frozen=True)
class _Outcome:
    """The predictions for all readable items.

    Attributes:
        places: Where each item lies.
        labels: The labels, among the model's classes.
        probabilities: ``[items, classes]`` float32.
        unread: The items that could not be read.
    """

    places: tuple[str, ...]
    labels: Labels
    probabilities: np.ndarray
    unread: tuple[BadFile, ...]


def run_evaluation(
    predictor: Predictor,
    config: DataSettings,
    console: Console,
    *,
    split: str | None = None,
    mapping: Mapping[str, str] | None = None,
    trained_on: str | None = None,
) -> tuple[EvaluationReport, Iterator[ItemResult]]:
    """Look at items, predict the usable ones, and compare the results with their labels.

    Args:
        predictor: The model.
        config: The settings, whose ``data`` names the items.
        console: The terminal to write to.
        split: The split, as in `choose_split`.
        mapping: The mapping of classes, as in `map_classes`.
        trained_on: The source that the model was trained on, if it is known.

    Returns:
        The figures, and the results of all items.

    Raises:
        InputError: The items cannot be read or have unknown classes, none is left, or the model
            cannot predict them.
    """
    with console.status("Listing the pictures"):
        whole = list_items(config.data, TASKS, locate(config.features.cache_dir))
    name, listing, notes = choose_split(whole, split)
    task, labels = whole.task, _join([each.labels for each in listing.splits.values()])
    numbers, map_notes = map_classes(labels, listing.classes, predictor.classes, mapping)
    bad = _look(listing, config, console)
    kept = keep(listing, numbers, len(predictor.classes), bad)
    outcome = _predict(predictor, kept, console)
    figures = (outcome.labels, outcome.probabilities)
    with console.status("Comparing with the labels"):
        report = EvaluationReport(
            model=predictor.name,
            data=whole.source,
            classes=predictor.classes,
            evaluation=task.evaluate(name, *figures, predictor.classes),
            intervals=task.find_intervals(*figures),
            per_class=task.list_figures(*figures, predictor.classes),
            expected_calibration_error=task.calibration_error(*figures),
            left_out=(*bad, *outcome.unread),
            notes=(
                *notes,
                *_warn_of_training(config, name, trained_on),
                *whole.notes,
                *map_notes,
                *task.note_mismatches(*figures, predictor.classes),
            ),
            versions=runtime.list_versions(),
        )
    return report, task.list_results(outcome.places, *figures, predictor.classes)


def _warn_of_training(config: DataSettings, split: str, trained_on: str | None) -> list[str]:
    if trained_on is None or trained_on != config.data.source or split == "test":
        return []
    return [
        "the model was trained on pictures of these data: figures flatter. Take pictures that it "
        "has not seen; its metrics.json has those of its own test split"
    ]


def _look(listing: Listing, config: DataSettings, console: Console) -> tuple[BadFile, ...]:
    """Return the items that cannot be used."""
    if str(config.data.source).startswith("embedded:"):
        return ()  # This package draws these items, so they are usable.
    folder = locate(config.features.cache_dir)
    with counting_items(console, "Looking at the pictures") as show:
        return find_bad(listing, folder, show)


def _predict(
    predictor: Predictor, kept: Sequence[tuple[ItemSet, Labels]], console: Console
) -> _Outcome:
    """Predict the items of all splits; those that cannot be read are left out."""
    total = sum(len(labels) for _, labels in kept)
    places: list[str] = []
    unread: list[BadFile] = []
    labels: list[Labels] = []
    probabilities, before = [], 0
    with console.status("Predicting") as status:

        def show(done: int) -> None:
            status.update(f"Predicting: {before + done:,} of {total:,} pictures")

        for items, own in kept:
            try:
                found, rows, bad = predict_set(predictor, items, show)
            except PredictionError as error:
                raise InputError(
                    "The model must predict every batch of pictures. Received: "
                    f"{predictor.name}: {error}. If it is served, see to the server; else export "
                    "the model again."
                ) from error
            where = items.where()
            places += [where[row] for row in rows]
            labels.append(own.choose(rows))
            probabilities.append(found)
            unread += bad
            before += len(own)
    outcome = _Outcome(tuple(places), _join(labels), np.concatenate(probabilities), tuple(unread))
    _check(outcome, predictor)
    return outcome


def _join(labels: Sequence[Labels]) -> Labels:
    first, *others = labels
    return first.join(others)


def _check(outcome: _Outcome, predictor: Predictor) -> None:
    """Refuse an outcome without items, and outputs that are no probabilities."""
    if not outcome.places:
        first = outcome.unread[0]
        raise InputError(
            "There must be pictures that the model can read. Received: "
            f"{len(outcome.unread):,}, of which it reads none, such as {first.path} "
            f"({first.reason}). Convert them to JPEG or PNG."
        )
    # Both comparisons are false for NaN, so NaN is refused as well.
    is_one = (outcome.probabilities >= 0) & (outcome.probabilities <= _MOST_PROBABLE)
    if not is_one.all():
        row, number = (int(each[0]) for each in np.nonzero(~is_one))
        raise InputError(
            "A model must give probabilities, 0…1. Received: "
            f"{outcome.probabilities[row, number]:g} for {predictor.classes[number]} of "
            f"{outcome.places[row]}, from {predictor.name}. Export the model with its last layer, "
            "a softmax or a sigmoid."
        )
