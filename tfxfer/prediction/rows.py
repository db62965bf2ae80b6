"""What is said of each picture, as lines of a file or in a terminal. Imports no TensorFlow."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    import numpy as np

# Rows that a table shows at most.
_SHOWN = 100


@dataclass(frozen=True)
class PredictedPicture:
    """What a model says of a picture.

    Attributes:
        path: the file.
        labels, scores: names and probabilities of the most probable classes, the first one first.
        probabilities: of all classes, ``[classes]`` float32; None where there is an error.
        embedding: ``[channels]`` float32; None where it was not asked for.
        error: why the picture could not be used; empty where it could.
    """

    path: str
    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    probabilities: np.ndarray | None = None
    embedding: np.ndarray | None = None
    error: str = ""


Write = Callable[[PredictedPicture], None]


def write_csv(
    stream: IO[str], classes: Sequence[str], top_k: int, with_probabilities: bool
) -> Write:
    """Columns ``path``, ``error``, ``label_1``, ``score_1``, … and ``p_<class>``."""
    ranks = range(1, min(top_k, len(classes)) + 1)
    header = ["path", "error", *(f"{key}_{rank}" for rank in ranks for key in ("label", "score"))]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*header, *(f"p_{name}" for name in classes if with_probabilities)])

    def write(row: PredictedPicture) -> None:
        pairs = zip(row.labels, map(_round, row.scores), strict=True)
        cells: list[Any] = [row.path, row.error, *(cell for pair in pairs for cell in pair)]
        cells += [""] * (len(header) - len(cells))
        if with_probabilities:
            given = row.probabilities
            cells += [""] * len(classes) if given is None else [_round(p) for p in given]
        writer.writerow(cells)

    return write


def write_json_lines(
    stream: IO[str], classes: Sequence[str], top_k: int, with_probabilities: bool
) -> Write:
    """Objects with ``path``, and ``labels`` and ``scores`` or ``error``; one a line."""

    def write(row: PredictedPicture) -> None:
        line: dict[str, Any] = {"path": row.path}
        if row.error:
            line["error"] = row.error
        else:
            line |= {"labels": row.labels, "scores": [_round(score) for score in row.scores]}
        if with_probabilities and row.probabilities is not None:
            given = zip(classes, row.probabilities, strict=True)
            line["probabilities"] = {name: _round(p) for name, p in given}
        # ASCII, so that names which are no UTF-8 stay what they are.
        stream.write(json.dumps(line) + "\n")

    return write


WRITERS = {"csv": write_csv, "jsonl": write_json_lines}


class TableRows:
    """Rows for a terminal: the first hundred are shown when all are there."""

    def __init__(self, top_k: int):
        self._top_k, self._rows, self._more = top_k, [], 0  # type: ignore[var-annotated]

    def write(self, row: PredictedPicture) -> None:
        if len(self._rows) < _SHOWN:
            self._rows.append(row)
        else:
            self._more += 1

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table("picture", "label", "", "others")
        for row in self._rows:
            if row.error:
                table.add_row(escape(_printable(row.path)), f"[red]{escape(row.error)}[/]", "", "")
                continue
            others = zip(row.labels[1:], row.scores[1:], strict=True)
            table.add_row(
                escape(_printable(row.path)),
                f"[bold]{escape(row.labels[0])}[/]",
                f"{row.scores[0]:.1%}",
                escape(", ".join(f"{label} {score:.1%}" for label, score in others)),
            )
        console.print(table)
        if self._more:
            console.print(f"and {self._more:,} more: --out FILE.csv writes all of them")


def _round(value: float) -> float:
    return round(float(value), 6)


def _printable(path: str) -> str:
    """A path as text: bytes that are no UTF-8 as escapes."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8", "replace")
