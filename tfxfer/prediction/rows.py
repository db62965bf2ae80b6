"""The predictions of items, and how they are written: CSV, JSON lines, a table, arrays.

This module imports no TensorFlow.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tfxfer.errors import InputError

if TYPE_CHECKING:
    import numpy as np

SHOWN = 100  # A table in the terminal has at most so many rows.


@dataclass(frozen=True)
class PredictedItem:
    """What a model says about one item.

    Attributes:
        path: The path as it was named.
        labels, scores: The names and probabilities, 0…1, of the most probable classes, in
            descending order; empty if there is an error.
        probabilities: The probabilities of all classes, ``[classes]`` float32; None if they were
            not asked for.
        embedding: The features that the head reads, ``[channels]`` float32; None if they were not
            asked for.
        error: Why the item could not be predicted; empty if it was.
    """

    path: str
    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    probabilities: np.ndarray | None = field(default=None, repr=False, compare=False)
    embedding: np.ndarray | None = field(default=None, repr=False, compare=False)
    error: str = ""


Write = Callable[[PredictedItem], None]


def write_csv(
    stream: IO[str], classes: Sequence[str], top_k: int, with_probabilities: bool
) -> Write:
    """Return a writer of the columns ``path``, ``error``, ``label_1``, ``score_1``, ….

    With probabilities, there is also a column ``p_<class>`` for each class.
    """
    ranks = range(1, min(top_k, len(classes)) + 1)
    ranked = [f"{key}_{rank}" for rank in ranks for key in ("label", "score")]
    each = [f"p_{name}" for name in classes] if with_probabilities else []
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", "error", *ranked, *each])

    def write(row: PredictedItem) -> None:
        pairs = zip(row.labels, map(_short, row.scores), strict=True)
        cells: list[Any] = [cell for pair in pairs for cell in pair]
        if row.probabilities is not None:
            cells += map(_short, row.probabilities)
        # An item with an error has only the first two cells.
        cells += [""] * (len(ranked) + len(each) - len(cells))
        writer.writerow([printable(row.path), row.error, *cells])

    return write


def write_json_lines(
    stream: IO[str], classes: Sequence[str], top_k: int, with_probabilities: bool
) -> Write:
    """Return a writer of one JSON object in each line.

    It holds ``path`` and either ``error`` or ``labels`` and ``scores``.
    """

    def write(row: PredictedItem) -> None:
        line: dict[str, Any] = {"path": printable(row.path)}
        if row.error:
            line["error"] = row.error
        else:
            line |= {"labels": row.labels, "scores": [_short(score) for score in row.scores]}
        if row.probabilities is not None:
            pairs = zip(classes, map(_short, row.probabilities), strict=True)
            line["probabilities"] = dict(pairs)
        stream.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")

    return write


WRITERS = {"csv": write_csv, "jsonl": write_json_lines}


def print_table(console: Console, rows: Sequence[PredictedItem], total: int) -> None:
    """Show rows without an error.

    Args:
        console: The terminal to write to.
        rows: The first of the rows.
        total: The number of all rows.
    """
    table = Table("picture", "label", "", "others")
    for row in rows:
        others = zip(row.labels[1:], row.scores[1:], strict=True)
        table.add_row(
            escape(printable(row.path)),
            f"[bold]{escape(row.labels[0])}[/]",
            f"{row.scores[0]:.1%}",
            escape(", ".join(f"{label} {score:.1%}" for label, score in others)),
        )
    if rows:
        console.print(table)
    if total > len(rows):
        console.print(f"and {total - len(rows):,} more; all of them: --out FILE.csv")


@contextmanager
def replacing(file: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Give a stream whose content becomes the file if the block ends without an error.

    If an `InputError` ends the block, for example because a server went away, the content is kept
    beside the file as ``<name>.partial``. Any other error, such as Ctrl-C, leaves nothing.
    """
    file = file.resolve()
    staging = file.with_name(f".{file.name}.{os.getpid()}.unfinished")
    options: dict[str, Any] = {}
    if "b" not in mode:
        options = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    try:
        with open(staging, mode, **options) as stream:
            yield stream
        staging.replace(file)
    except InputError as error:
        if staging.stat().st_size:
            kept = file.with_name(f"{file.name}.partial")
            staging.replace(kept)
            error.add_note(f"The rows that were written until then are in {str(kept)!r}.")
        raise
    finally:
        staging.unlink(missing_ok=True)


def write_embeddings(file: Path, paths: Sequence[str], vectors: Sequence[np.ndarray]) -> None:
    """Write ``paths`` ``[rows]`` and ``embeddings`` ``[rows, channels]`` float32 as ``.npz``.

    Meanwhile all embeddings are in memory twice: they take 8 bytes for each channel and row.
    """
    import numpy as np

    table = np.stack(vectors) if vectors else np.zeros((0, 0), np.float32)
    with replacing(file, "wb") as stream:
        np.savez(stream, paths=np.array([*map(printable, paths)], str), embeddings=table)


def printable(path: str) -> str:
    """Return a path as valid text; bytes that are not UTF-8 become escape sequences."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _short(value: float) -> float:
    """Round to six significant digits, so that small probabilities are kept."""
    return float(f"{float(value):.6g}")
