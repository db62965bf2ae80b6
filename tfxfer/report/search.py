"""The trials of a search as lines and tables in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tfxfer.records.results import CRITERIA
from tfxfer.records.searches import SearchResult, Trial

_SHOWN = 10


def print_trial(console: Console, trial: Trial) -> None:
    """Show in one line how a trial ended."""
    name = f"trial {trial.number}" if trial.number else "the head alone"
    head = f"{name:<14} {escape(describe_values(trial))}"
    if trial.status != "done":
        console.print(f"[red]✗[/] {head}  failed: {escape(trial.message)}")
        return
    epochs = f", {trial.epochs} of {trial.planned_epochs} epochs" if trial.is_cut_short else ""
    console.print(
        f"[green]✓[/] {head}  validation {CRITERIA[trial.chosen_by]} [bold]{trial.score:.3f}[/]"
        f"{epochs}, {trial.seconds:.0f} s"
    )


def print_search(console: Console, result: SearchResult) -> None:
    """Show the best trials, the verdict and the paths of the search's files."""
    keys = list(dict.fromkeys(key for trial in result.trials for key in trial.values))
    console.print(_leaderboard(result, keys))
    hidden = len(result.trials) - _SHOWN
    failed = sum(trial.status != "done" for trial in result.trials)
    if hidden > 0 or failed:
        console.print(f"{max(0, hidden)} more and {failed} failed in search.json")
    winner = result.winner
    ties = sum(
        trial.status == "done" and trial.accuracy >= winner.interval[0] for trial in result.trials
    )
    console.print(f"[bold]{escape(result.verdict)}[/]")
    console.print(
        f"{ties - 1} other trials lie within the winner's 95 % interval "
        f"({winner.interval[0]:.3f}…{winner.interval[1]:.3f}, {winner.pictures} pictures)"
    )
    best = result.best.test
    low, high = best.accuracy_interval
    console.print(
        f"test accuracy of the winner [bold]{best.accuracy:.3f}[/] ({low:.3f}…{high:.3f}, "
        f"{best.pictures:,} pictures, read once)"
    )
    if not result.is_complete:
        console.print("[yellow]note[/] the time was over; the same command goes on where it ended")
    path = escape(str(result.path))
    console.print(f"search       {path}/search.json", soft_wrap=True)
    console.print(f"preset       tfxfer train --preset {path}/best.toml", soft_wrap=True)
    console.print(f"best run     {path}/best", soft_wrap=True)
    console.print(f"pictures     {path}/depth.png, parallel.png, time.png", soft_wrap=True)


def describe_values(trial: Trial) -> str:
    """Return a trial's values as a short text."""
    return ", ".join(f"{short(key)} {show(value)}" for key, value in trial.values.items())


def short(key: str) -> str:
    """Return the last part of a dotted key; the backbone's name is called ``backbone``."""
    return "backbone" if key == "backbone.name" else key.rsplit(".", 1)[-1]


def show(value: object) -> str:
    """Return a value as a text for people; floats have two significant digits."""
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _leaderboard(result: SearchResult, keys: list[str]) -> Table:
    metric = CRITERIA[result.winner.chosen_by]
    intervals = "95 % interval of the accuracy" if metric != "accuracy" else "95 % interval"
    table = Table("", *map(short, keys), f"validation {metric}", intervals, "epochs", "time")
    for place, trial in enumerate(result.trials[:_SHOWN], start=1):
        if trial.status != "done":
            continue
        low, high = trial.interval
        epochs = str(trial.epochs) if trial.epochs else "–"
        table.add_row(
            str(place),
            *(show(trial.values[key]) if key in trial.values else "–" for key in keys),
            f"{trial.score:.3f}",
            f"{low:.3f}…{high:.3f}",
            f"{epochs} of {trial.planned_epochs}" if trial.is_cut_short else epochs,
            f"{trial.seconds:.0f} s",
        )
    return table
