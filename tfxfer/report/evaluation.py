"""An evaluation as tables, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tfxfer.records.evaluations import EvaluationReport, ItemResult

_MOST_CLASSES, _MOST_CONFUSIONS, _MOST_FILES = 30, 10, 20
# This separates an item's labels in a cell.
_SEPARATOR = "|"
# The metrics of `Evaluation` and their names for people, in the order in which they are shown.
_METRICS = {
    "mean_average_precision": "mAP",
    "accuracy": "accuracy",
    "top5_accuracy": "top-5 accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "macro_recall": "macro recall",
    "cross_entropy": "cross entropy, nats",
}


def print_evaluation(console: Console, report: EvaluationReport) -> None:
    """Show the metrics, the weakest classes, the most frequent confusions, and the notes."""
    evaluation = report.evaluation
    console.print(
        f"[bold]{escape(report.model)}[/] on [bold]{escape(report.data)}[/]: "
        f"{evaluation.pictures:,} pictures ({evaluation.split}) of {len(report.per_class)} classes",
        soft_wrap=True,
    )
    console.print(_metrics_table(report))
    console.print(_classes_table(report))
    if len(report.per_class) > _MOST_CLASSES:
        console.print(f"… and {len(report.per_class) - _MOST_CLASSES} classes with a higher F1")
    confusions = list_confusions(report)[:_MOST_CONFUSIONS]
    if confusions:
        console.print("most frequent confusions:")
    for true, predicted, count in confusions:
        console.print(f"  {escape(true)} taken for {escape(predicted)}: {count:,}")
    for note in report.notes:
        console.print(f"[yellow]note[/] {escape(note)}")
    _print_left_out(console, report)


def _metrics_table(report: EvaluationReport) -> Table:
    intervals = {"accuracy": report.evaluation.accuracy_interval} | report.intervals
    several = report.evaluation.confusion is None
    table = Table("metric", "value", "95 % interval", box=None)
    for key, name in _METRICS.items():
        value = getattr(report.evaluation, key)
        if value is None:
            continue
        if several and key == "accuracy":
            name = "all labels right"
        interval = _range(intervals[key]) if key in intervals else ""
        table.add_row(name, f"[bold]{value:.3f}[/]", interval)
    table.add_row("calibration error", f"[bold]{report.expected_calibration_error:.3f}[/]", "")
    return table


def _classes_table(report: EvaluationReport) -> Table:
    columns = ("class, weakest first", "pictures", "F1", "recall", "95 % interval", "precision",
               "95 % interval")  # fmt: skip
    table = Table(*columns, box=None)
    for row in sorted(report.per_class, key=lambda each: each.f1)[:_MOST_CLASSES]:
        table.add_row(
            escape(row.name),
            f"{row.pictures:,}",
            f"{row.f1:.3f}",
            f"{row.recall:.3f}",
            _range(row.recall_interval),
            "–" if row.precision is None else f"{row.precision:.3f}",
            "" if row.precision_interval is None else _range(row.precision_interval),
        )
    return table


def _print_left_out(console: Console, report: EvaluationReport) -> None:
    if not report.left_out:
        return
    console.print(f"[yellow]note[/] {len(report.left_out):,} pictures cannot be read, and are "
                  "left out:")  # fmt: skip
    for file in report.left_out[:_MOST_FILES]:
        console.print(f"  {escape(file.path)}: {escape(file.reason)}", soft_wrap=True)
    if len(report.left_out) > _MOST_FILES:
        console.print(f"  … and {len(report.left_out) - _MOST_FILES:,} more")


def list_confusions(report: EvaluationReport) -> list[tuple[str, str, int]]:
    """List true class, predicted class and count of each confusion, the most frequent first.

    Confusions with equal counts are in the order of the classes. With several labels an item,
    the list is empty.
    """
    found = [
        (report.classes[true], report.classes[predicted], count)
        for true, predicted, count in report.evaluation.confusion or ()
        if true != predicted
    ]
    return sorted(found, key=lambda each: -each[2])


def describe(report: EvaluationReport) -> dict[str, Any]:
    """Return an evaluation as JSON values; an interval has the key ``<metric>_interval``."""
    metrics = {key: value for key, value in asdict(report.evaluation).items() if value is not None}
    confusion = metrics.pop("confusion", None)
    metrics.pop("per_class_f1")
    metrics |= {f"{name}_interval": ends for name, ends in report.intervals.items()}
    figures = {
        "model": report.model,
        "data": report.data,
        **metrics,
        "expected_calibration_error": report.expected_calibration_error,
        "classes": report.classes,
        "per_class": {row.name: asdict(row) for row in report.per_class},
        "left_out": [asdict(file) for file in report.left_out],
        "notes": report.notes,
        "versions": report.versions,
    }
    for row in figures["per_class"].values():
        del row["name"]
    return figures if confusion is None else figures | {"confusion": confusion}


def write_evaluation(path: Path, report: EvaluationReport) -> None:
    """Write all figures as JSON; the file appears only when it is complete."""
    text = json.dumps(describe(report), indent=2, ensure_ascii=False, allow_nan=False)
    _write(path, text + "\n")


def write_results(path: Path, results: Iterable[ItemResult]) -> None:
    """Write one CSV line for each item: ``path,true,predicted,probability,right`` (1 or 0).

    Several labels of an item are separated by ``|``.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "true", "predicted", "probability", "right"])
    for each in results:
        true, predicted = (_SEPARATOR.join(names) for names in (each.true, each.predicted))
        writer.writerow([each.path, true, predicted, f"{each.probability:.6f}", int(each.is_right)])
    _write(path, text.getvalue())


def _write(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        # File names need not be valid UTF-8.
        with os.fdopen(
            handle, "w", encoding="utf-8", errors="backslashreplace", newline=""
        ) as file:
            file.write(text)
        os.chmod(name, 0o644)  # With mkstemp's 0600, only the owner could read the file.
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _range(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f}…{interval[1]:.3f}"
