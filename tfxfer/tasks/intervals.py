"""Bootstrap intervals: how far a metric would vary with other items of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np

from tfxfer.tasks.labels import ClassLabels, SeveralLabels

RESAMPLES = 1000
_QUANTILES = (0.025, 0.975)
# So many counts of resampled items are held in memory at the same time.
_HELD = 2**22


def class_intervals(
    labels: ClassLabels, probabilities: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return intervals of ``macro_f1`` and ``macro_recall``; see `bootstrap_intervals`."""
    generator = np.random.default_rng(seed)
    return bootstrap_intervals(_one_label(labels, probabilities, resamples, generator))


def several_intervals(
    labels: SeveralLabels, probabilities: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return the same intervals, and those of ``micro_f1`` and ``mean_average_precision``."""
    generator = np.random.default_rng(seed)
    return bootstrap_intervals(_several_labels(labels, probabilities, resamples, generator))


def bootstrap_intervals(
    resampled: Iterable[dict[str, np.ndarray]],
) -> dict[str, tuple[float, float]]:
    """Return 95 % percentile intervals of the metrics that are means over classes.

    Each resample draws as many items as there are, with replacement, and gives each metric again
    (Efron and Tibshirani 1993, "An introduction to the bootstrap", section 13.3). Classes without
    items in a resample are left out of its means, as in `Evaluation`. If classes have only a
    handful of items, the intervals are too narrow. The same arguments give the same intervals.

    Args:
        resampled: The figures of some resamples ``[some]`` by name, of two or more in all.

    Returns:
        The lower and the upper end of each figure, by its name in `Evaluation`.
    """
    parts = list(resampled)
    figures = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ends = {name: np.quantile(values, _QUANTILES) for name, values in figures.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def _one_label(
    labels: ClassLabels, probabilities: np.ndarray, resamples: int, generator: np.random.Generator
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the metrics of some resamples, each ``[resamples]``, by their names.

    The metrics depend only on an item's cell of the confusion matrix. So cells are drawn in place
    of items, with probabilities in proportion to their items, because there are fewer cells.
    """
    class_count = probabilities.shape[1]
    cells, counts = np.unique(
        labels.numbers.astype(np.int64) * class_count + probabilities.argmax(axis=1),
        return_counts=True,
    )
    true, predicted = np.divmod(cells, class_count)
    add_true, add_predicted = (partial(_add_by, n, class_count) for n in (true, predicted))
    for size in _chunks(resamples, len(cells)):
        drawn = generator.multinomial(len(labels), counts / len(labels), size)
        found = add_true(drawn * (true == predicted))
        yield _macro_figures(found, add_true(drawn), add_predicted(drawn))


def _add_by(numbers: np.ndarray, class_count: int, drawn: np.ndarray) -> np.ndarray:
    """Add up the draws of each class.

    Args:
        numbers: ``[cells]``, the class of each cell.
        drawn: ``[resamples, cells]``.

    Returns:
        ``[resamples, classes]`` int64.
    """
    order = np.argsort(numbers, kind="stable")
    present, starts = np.unique(numbers[order], return_index=True)
    sums = np.zeros((len(drawn), class_count), np.int64)
    sums[:, present] = np.add.reduceat(drawn[:, order], starts, axis=1)
    return sums


def _several_labels(
    labels: SeveralLabels, probabilities: np.ndarray, resamples: int, generator: np.random.Generator
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the same as `_one_label` for rows of labels, where each item counts by itself."""
    count, class_count = labels.rows.shape
    true = labels.rows.astype(np.float32)
    given = labels.predict(probabilities).astype(np.float32)
    rank = [_make_ranking(true[:, n], probabilities[:, n]) for n in range(class_count)]
    for size in _chunks(resamples, count):
        # The sums are integers of at most 2^24, which are exact in float32.
        drawn = np.stack(
            [np.bincount(generator.integers(0, count, count), minlength=count) for _ in range(size)]
        ).astype(np.float32)
        found, support, predicted = (drawn @ x for x in (true * given, true, given))
        by_item = np.ascontiguousarray(drawn.T)
        precision = np.stack([average(by_item) for average in rank], axis=1)
        yield _macro_figures(found, support, predicted) | {
            "micro_f1": _divide(2 * found.sum(1), support.sum(1) + predicted.sum(1)),
            "mean_average_precision": _mean_over(support > 0, precision),
        }


def _make_ranking(true: np.ndarray, scores: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from weights ``[items, resamples]`` to a label's average precisions.

    As in `mean_average_precision`, items with equal scores share one threshold.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    # Recall rises only at the scores of items that have the label.
    places = np.flatnonzero(true[order])
    ends = np.unique(ends[np.searchsorted(ends, places)])
    if not len(ends):
        return lambda weights: np.zeros(weights.shape[1], np.float32)
    starts = np.append(0, ends[:-1] + 1)
    order = order[: ends[-1] + 1]
    true_starts = np.searchsorted(places, starts)

    def average(weights: np.ndarray) -> np.ndarray:
        gained = np.add.reduceat(weights[order[places]], true_starts, axis=0)
        right = gained.cumsum(axis=0)
        shown = np.add.reduceat(weights[order], starts, axis=0).cumsum(axis=0)
        return _divide((gained * _divide(right, shown)).sum(axis=0), right[-1])

    return average


def _macro_figures(
    found: np.ndarray, support: np.ndarray, predicted: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the means over classes from counts ``[resamples, classes]``."""
    return {
        "macro_f1": _mean_over(support > 0, _divide(2 * found, support + predicted)),
        "macro_recall": _mean_over(support > 0, _divide(found, support)),
    }


def _mean_over(is_present: np.ndarray, values: np.ndarray) -> np.ndarray:
    return _divide((values * is_present).sum(axis=1), is_present.sum(axis=1))


def _divide(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return a quotient in float64, and 0 if the divisor is 0."""
    return np.divide(one, other, out=np.zeros(np.shape(one)), where=other != 0)


def _chunks(resamples: int, width: int) -> Iterator[int]:
    """Yield the numbers of resamples to make at a time, so that memory stays within bounds."""
    at_a_time = max(1, _HELD // width)
    for start in range(0, resamples, at_a_time):
        yield min(at_a_time, resamples - start)
