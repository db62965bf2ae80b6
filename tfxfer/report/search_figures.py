"""The trials of a search as figures: by depth, by all varied values, and over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from tfxfer.records.results import CRITERIA
from tfxfer.records.searches import Trial
from tfxfer.report.search import short, show

_BLUE, _RED, _GREY = "#2a6f97", "#b0413e", "#8d99ae"
_DPI = 130
_TICKS = 6  # An axis labels at most so many values.


def draw_search(trials: Sequence[Trial], started: float, folder: Path) -> None:
    """Write depth.png, parallel.png and time.png.

    Args:
        trials: The finished trials, best first.
        started: When the search began, in seconds since 1970.
        folder: Where the figures are written.
    """
    from matplotlib.figure import Figure

    for name, draw in (("depth", _draw_depths), ("parallel", _draw_axes), ("time", _draw_time)):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        draw(figure, trials, started)
        figure.savefig(folder / f"{name}.png", dpi=_DPI)


def _draw_depths(figure: Any, trials: Sequence[Trial], _: float) -> None:
    """Draw the scores against the depth: each trial, and the mean and spread at each depth."""
    axes = _plain_axes(figure)
    depths = sorted({trial.unfrozen for trial in trials})
    places = {depth: place for place, depth in enumerate(depths)}
    scores = {depth: [t.score for t in trials if t.unfrozen == depth] for depth in depths}
    means = [fmean(scores[depth]) for depth in depths]
    spreads = [pstdev(scores[depth]) for depth in depths]
    axes.errorbar(range(len(depths)), means, spreads, color=_BLUE, capsize=4, linewidth=1.5,
                  label="mean and standard deviation of a depth's trials")  # fmt: skip
    whole = [trial for trial in trials if not trial.is_cut_short]
    stopped = [trial for trial in trials if trial.is_cut_short]
    for group, marker, label in ((whole, "o", "a trial"), (stopped, "x", "stopped by Hyperband")):
        if group:
            axes.plot([places[t.unfrozen] for t in group], [t.score for t in group], marker,
                      color=_GREY, alpha=0.8, markersize=5, label=label)  # fmt: skip
    best = trials[0]
    axes.plot([places[best.unfrozen]], [best.score], "o", color=_RED, markersize=8, label="best")
    axes.set_xticks(range(len(depths)), [str(depth) if depth else "head alone" for depth in depths])
    axes.set_xlabel(f"unfrozen blocks, of {best.blocks}")
    axes.set_ylabel(_score_name(best))
    axes.legend(frameon=False, fontsize="small")


def _draw_axes(figure: Any, trials: Sequence[Trial], _: float) -> None:
    """Draw parallel coordinates: one line for each trial, through its values to its score."""
    from matplotlib import colormaps

    axes = _plain_axes(figure)
    keys = list(dict.fromkeys(key for trial in trials for key in trial.values))
    scales = [_Scale([trial.values.get(key) for trial in trials]) for key in keys]
    scores = _Scale([trial.score for trial in trials])
    for trial in reversed(trials):
        heights = [
            scale.height(trial.values.get(key)) for key, scale in zip(keys, scales, strict=True)
        ]
        place = scores.height(trial.score)
        axes.plot([*heights, place], color=colormaps["viridis"](place), linewidth=1.4, alpha=0.85)
    for number, scale in enumerate([*scales, scores]):
        axes.axvline(number, color="#444444", linewidth=0.8)
        for height, label in scale.ticks():
            axes.annotate(label, (number, height), xytext=(4, 0), textcoords="offset points",
                          fontsize=8, va="center")  # fmt: skip
    axes.set_xticks(range(len(keys) + 1), [*map(short, keys), _score_name(trials[0])])
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(keys) + 0.4)
    axes.spines["left"].set_visible(False)
    axes.grid(False)


def _draw_time(figure: Any, trials: Sequence[Trial], started: float) -> None:
    """Draw the scores over time, and the best score so far."""
    axes = _plain_axes(figure)
    ordered = sorted(trials, key=lambda trial: trial.finished)
    seconds = [max(0.0, trial.finished - started) for trial in ordered]
    best, steps = -math.inf, []
    for trial in ordered:
        best = max(best, trial.score)
        steps.append(best)
    axes.step(seconds, steps, where="post", color=_BLUE, linewidth=1.5, label="best so far")
    axes.plot(seconds, [trial.score for trial in ordered], "o", color=_GREY, markersize=5,
              label="a trial")  # fmt: skip
    axes.set_xlabel("seconds since the search began")
    axes.set_ylabel(_score_name(trials[0]))
    axes.legend(frameon=False, fontsize="small", loc="lower right")


def _plain_axes(figure: Any) -> Any:
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    return axes


def _score_name(trial: Trial) -> str:
    return f"validation {CRITERIA[trial.chosen_by]}"


class _Scale:
    """A scale from the values of an axis to heights in 0…1.

    Positive numbers that span a factor of 10 or more have a logarithmic scale. Values that are no
    numbers stand one above the other. A missing value stands at the bottom.
    """

    def __init__(self, values: Sequence[Any]):
        given = [value for value in values if value is not None]
        self._has_none = len(given) < len(values)
        numbers = sorted({float(v) for v in given if isinstance(v, int | float)})
        self._is_numeric = len(numbers) > 0 and all(isinstance(v, int | float) for v in given)
        self._is_log = self._is_numeric and numbers[0] > 0 and numbers[-1] / numbers[0] >= 10
        self._values = numbers if self._is_numeric else sorted(set(given), key=str)

    def height(self, value: Any) -> float:
        if value is None:
            return 0.0
        bottom = 0.12 if self._has_none else 0.0
        if self._is_numeric:
            low, high, place = (
                math.log(v) if self._is_log else v
                for v in (self._values[0], self._values[-1], float(value))
            )
            share = 0.5 if high == low else (place - low) / (high - low)
        else:
            share = self._values.index(value) / max(1, len(self._values) - 1)
        return bottom + (1 - bottom) * share

    def ticks(self) -> list[tuple[float, str]]:
        """Return the heights of the labelled values, with their labels."""
        values = self._values
        if len(values) > _TICKS:
            values = [values[0], values[len(values) // 2], values[-1]]
        named = [(self.height(v), _number(v) if self._is_numeric else show(v)) for v in values]
        return [(0.0, "–"), *named] if self._has_none else named


def _number(value: float) -> str:
    return f"{value:.3g}"
