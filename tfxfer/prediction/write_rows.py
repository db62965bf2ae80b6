"""The prediction of named files, which writes a row for each item after every batch.

This module imports TensorFlow only when it is called.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tfxfer.prediction.named import Named
from tfxfer.prediction.rows import (
    SHOWN,
    WRITERS,
    PredictedItem,
    Write,
    print_table,
    printable,
    replacing,
    write_embeddings,
)
from tfxfer.report.console import make_console

if TYPE_CHECKING:
    from tfxfer.prediction.predictor import Predictor

_CLASSES_COUNTED = 20


@dataclass(frozen=True)
class Output:
    """What is written for each item, and where.

    Attributes:
        form: ``"table"``, or a name in `WRITERS`.
        top_k: The number of labels for each item.
        batch_size: The number of items that are predicted together.
        with_probabilities: Whether the probabilities of all classes are written.
        file: The file of the rows; None writes to standard output.
        embeddings_file: A ``.npz`` file; with None, no embeddings are predicted.
    """

    form: str
    top_k: int
    batch_size: int
    with_probabilities: bool = False
    file: Path | None = None
    embeddings_file: Path | None = None


def write_rows(predictor: Predictor, named: Named, output: Output, messages: Console) -> int:
    """Predict files and write their rows; report bad files on `messages`, and sum up.

    The embeddings of all items are in memory until the end (`write_embeddings`).

    Returns:
        1 if an item could not be predicted, else 0.

    Raises:
        InputError: A server went away; the rows written so far are kept.
    """
    counts: Counter[str] = Counter()
    shown: list[PredictedItem] = []
    embedded: list[PredictedItem] = []
    bad = 0
    with _open(output) as stream, _counting(messages, len(named.paths)) as show:
        write: Write | None = None
        for batch in _predict(predictor, named, output):
            # The writer is made late, so that nothing is written if the first batch fails.
            write = write or _make_write(predictor, output, stream, shown)
            for row in batch:
                write(row)
                if row.error:
                    bad += 1
                    line = f"[red]{escape(printable(row.path))}[/]: {escape(row.error)}"
                    messages.print(line, soft_wrap=True)
                    continue
                counts[row.labels[0]] += 1
                if output.embeddings_file:
                    embedded.append(PredictedItem(row.path, embedding=row.embedding))
            stream.flush()  # A program at the other end of a pipe gets the rows at once.
            show(len(batch))
    if output.form == "table":
        print_table(make_console(), shown, counts.total())
    if output.embeddings_file:
        write_embeddings(
            output.embeddings_file,
            [row.path for row in embedded],
            [row.embedding for row in embedded if row.embedding is not None],
        )
    _sum_up(messages, counts, bad, named.others, with_classes=output.form == "table")
    return int(bad > 0)


def _predict(predictor: Predictor, named: Named, output: Output) -> Iterator[list[PredictedItem]]:
    from tfxfer.prediction.predict_files import predict_files

    return predict_files(
        predictor,
        named.paths,
        top_k=output.top_k,
        batch_size=output.batch_size,
        with_probabilities=output.with_probabilities,
        with_embeddings=output.embeddings_file is not None,
    )


def _open(output: Output) -> AbstractContextManager[IO[str]]:
    return nullcontext(sys.stdout) if output.file is None else replacing(output.file)


def _make_write(
    predictor: Predictor, output: Output, stream: IO[str], shown: list[PredictedItem]
) -> Write:
    if output.form in WRITERS:
        make = WRITERS[output.form]
        return make(stream, predictor.classes, output.top_k, output.with_probabilities)

    def keep_first(row: PredictedItem) -> None:
        if not row.error and len(shown) < SHOWN:
            shown.append(row)

    return keep_first


@contextmanager
def _counting(messages: Console, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that moves a bar on by some items; the bar is only in a terminal."""
    columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=messages, transient=True, disable=not messages.is_terminal
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.advance(task, done)


def _sum_up(
    messages: Console, counts: Counter[str], bad: int, others: int, with_classes: bool
) -> None:
    if others:
        messages.print(f"[yellow]note[/] {others:,} files without a picture's ending are not read")
    line = f"{counts.total():,} pictures predicted"
    if bad:
        line += f", {bad:,} could not be (named above)"
    if with_classes and counts:
        most = counts.most_common(_CLASSES_COUNTED)
        line += ": " + ", ".join(f"{escape(name)} {count:,}" for name, count in most)
        if len(counts) > len(most):
            line += f", and {len(counts) - len(most):,} classes more"
    messages.print(line, soft_wrap=True)
