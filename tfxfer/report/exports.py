"""Exported formats side by side, as a table in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tfxfer.records.exports import ExportedFormat, RunFigures


def print_exports(console: Console, rows: Sequence[ExportedFormat]) -> None:
    """Show each format's size, latency, accuracy and agreement, or why it was refused."""
    batch = ExportedFormat.BATCH
    table = Table(
        "format",
        "size",
        "one picture",
        f"{batch} pictures",
        "validation accuracy",
        "same label",
        "largest difference",
    )
    for row in rows:
        if not row.pictures:
            continue
        one, many = row.latency_ms
        loss = row.accuracy - row.trained_accuracy
        table.add_row(
            row.format if row.path else f"[red]{row.format} (refused)[/]",
            f"{row.size_bytes / 1e6:.2f} MB",
            f"{one:.1f} ms",
            f"{many:.0f} ms",
            f"{row.accuracy:.3f} ({loss:+.3f})",
            f"{row.agreement:.1%}",
            f"{row.max_difference:.1g}",
        )
    if table.rows:
        console.print(table)
        console.print("time of decoded pictures on this machine, the median of several calls")
    for row in rows:
        if row.path:
            console.print(f"{row.format:<15} {escape(str(row.path))}", soft_wrap=True)
        else:
            console.print(f"[red]{row.format}[/] was not kept: {escape(row.refused)}")


def print_students(console: Console, rows: Sequence[RunFigures]) -> None:
    """Show the cost and the accuracy of a student beside its teacher's."""
    batch = ExportedFormat.BATCH
    columns = ("parameters", "SavedModel", "one picture", f"{batch} pictures")
    table = Table("", "network", *columns, "validation accuracy", "test accuracy")
    for row in rows:
        one, many = row.latency_ms
        table.add_row(
            row.name,
            escape(row.network),
            f"{row.parameters / 1e6:.2f} M",
            f"{row.size_bytes / 1e6:.1f} MB",
            f"{one:.1f} ms",
            f"{many:.0f} ms",
            f"{row.validation_accuracy:.3f}",
            f"[bold]{row.test_accuracy:.3f}[/]",
        )
    console.print(table)
    console.print("time of decoded pictures by TensorFlow on this machine")
