"""Say what pictures show: ``tfxfer predict MODEL PICTURES…``, or `tfxfer.predict(…)`.

Imports no TensorFlow before it is called.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tfxfer import runtime
from tfxfer.callable_module import make_callable
from tfxfer.errors import InputError, exit_code
from tfxfer.prediction.places import STANDARD_INPUT, list_pictures
from tfxfer.prediction.rows import WRITERS, PredictedPicture, TableRows, Write

if TYPE_CHECKING:
    from tfxfer.prediction.predictor import Predictor

_BATCH = 32
_TOP_K = 3


def predict(
    model: str | Path | Predictor,
    pictures: str | Path | Sequence[str | Path],
    *,
    top_k: int = _TOP_K,
    batch_size: int = _BATCH,
    embeddings: bool = False,
    trust: bool = False,
) -> tuple[PredictedPicture, ...]:
    """Predict pictures with a run, an exported model or a served one.

    Args:
        model: as of `load_predictor`, or one that is loaded.
        pictures: files, folders and patterns such as ``"photos/**/*.jpg"``.
        top_k: labels a picture.
        batch_size: pictures that are predicted together.
        embeddings: give what the head reads of each picture too.
        trust: of a run: as in `tfxfer.load_model`.

    Returns:
        A row a picture, in the order of the pictures; one that cannot be used has an error.

    Raises:
        InputError: there is no such model, or a folder or pattern holds no picture.
    """
    predictor = _load(model, embeddings, trust)
    places = [pictures] if isinstance(pictures, str | Path) else pictures
    _check_counts(top_k, batch_size)
    from tfxfer.prediction.predict_files import predict_files

    return tuple(predict_files(predictor, list_pictures(places, []), top_k, batch_size))


def write_predictions(arguments: argparse.Namespace) -> int:
    """Predict what the command line names, and write a row a picture.

    Returns:
        1 where a picture could not be used, else 0.
    """
    messages = Console(stderr=True, highlight=False)
    _check_counts(arguments.top_k, arguments.batch_size)
    form = _choose_format(arguments.format, arguments.out)
    for file in filter(None, (arguments.out, arguments.embeddings)):
        _check_new(Path(file), arguments.overwrite)
    notes: list[str] = []
    paths: Sequence[str] | Iterator[str] = list_pictures(arguments.pictures, notes)
    if STANDARD_INPUT not in arguments.pictures:
        paths = list(paths)
    predictor = _load(arguments.model, bool(arguments.embeddings), arguments.trust)
    from tfxfer.prediction.predict_files import predict_files

    table = TableRows(arguments.top_k)
    counts: Counter[str] = Counter()
    kept: list[PredictedPicture] = []
    place = replacing(Path(arguments.out)) if arguments.out else nullcontext(sys.stdout)
    total = len(paths) if isinstance(paths, list) else None
    with place as stream, _counting(messages, total) as show:
        write = _make_writer(form, stream, table, predictor, arguments)
        rows = predict_files(predictor, paths, arguments.top_k, arguments.batch_size, show)
        for row in rows:
            write(row)
            counts[row.labels[0] if row.labels else ""] += 1
            if row.error:
                messages.print(f"[red]{escape(_text(row.path))}[/]: {escape(row.error)}",
                               soft_wrap=True)  # fmt: skip
            elif arguments.embeddings:
                kept.append(row)
    if form == "table":
        table.show(Console(highlight=False))
    if arguments.embeddings:
        _write_embeddings(Path(arguments.embeddings), kept)
    for note in notes:
        messages.print(f"[yellow]note[/] {escape(_text(note))}")
    return _sum_up(messages, counts)


def _sum_up(messages: Console, counts: Counter[str]) -> int:
    bad = counts.pop("", 0)
    good = sum(counts.values())
    shares = ", ".join(f"{escape(name)} {count:,}" for name, count in counts.most_common(10))
    messages.print(f"{good:,} pictures predicted" + (f": {shares}" if shares else ""))
    if bad:
        messages.print(f"[yellow]{bad:,} could not be used[/], and are named above")
    return int(bad > 0)


def _load(model: str | Path | Predictor, embeddings: bool, trust: bool) -> Predictor:
    if not isinstance(model, str | Path):
        return model
    runtime.import_tensorflow()
    from tfxfer.prediction.load import load_predictor

    return load_predictor(model, with_embeddings=embeddings, trust=trust)


def _make_writer(
    form: str,
    stream: IO[str],
    table: TableRows,
    predictor: Predictor,
    arguments: argparse.Namespace,
) -> Write:
    if form == "table":
        return table.write
    write = WRITERS[form](stream, predictor.classes, arguments.top_k, arguments.probabilities)

    def write_and_flush(row: PredictedPicture) -> None:
        # Whoever reads the other end of a pipe sees rows as they come.
        write(row)
        stream.flush()

    return write_and_flush


def _choose_format(form: str | None, out: str | None) -> str:
    if form == "table" and out:
        raise InputError(
            "--out writes csv or jsonl; a table is for a terminal. Received: --format table with "
            f"--out {out}. Leave one of them out."
        )
    if form:
        return form
    if out:
        return "jsonl" if Path(out).suffix in (".jsonl", ".ndjson") else "csv"
    return "table" if sys.stdout.isatty() else "csv"


def _check_counts(top_k: int, batch_size: int) -> None:
    if top_k < 1 or batch_size < 1:
        raise InputError(
            "--top-k and --batch-size must be 1 or more. Received: "
            f"{top_k} and {batch_size}. Leave them out for {_TOP_K} and {_BATCH}."
        )


def _check_new(file: Path, overwrite: bool) -> None:
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise InputError(
            f"A file to write lies in a folder that is there. Received: {str(file)!r}. Name "
            "another one."
        )
    if file.exists() and not overwrite:
        raise InputError(
            f"Predictions go to a new file. Received: {str(file)!r}, which is there. Say "
            "--overwrite to replace it, or name another one."
        )


@contextmanager
def replacing(file: Path) -> Iterator[IO[str]]:
    """Give a stream whose text becomes the file when all went well."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.absolute().parent)
    staging = Path(name)
    try:
        with open(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            yield stream
        staging.chmod(0o644)
        staging.replace(file)
    except BaseException:
        with suppress(OSError):
            staging.unlink()
        raise


def _write_embeddings(file: Path, rows: Sequence[PredictedPicture]) -> None:
    """Write arrays ``paths`` ``[pictures]`` and ``embeddings`` ``[pictures, channels]``."""
    import numpy as np

    paths = np.array([_text(row.path) for row in rows])
    vectors = [row.embedding for row in rows if row.embedding is not None]
    staging = file.with_name(f".{file.name}.tmp")
    with open(staging, "wb") as stream:
        np.savez(stream, paths=paths, embeddings=np.array(vectors, np.float32))
    staging.replace(file)


@contextmanager
def _counting(messages: Console, total: int | None) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages, transient=True,
                  disable=not messages.is_terminal) as bar:  # fmt: skip
        task = bar.add_task("", total=total)
        yield lambda done: bar.advance(task, done)


def _text(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a run's folder, a SavedModel, a .keras, .tflite, .onnx or .xml file, or the address "
        "of a served model: http://HOST:8501/v1/models/NAME or grpc://HOST:8500/NAME",
    )
    parser.add_argument(
        "pictures", metavar="PICTURES", nargs="+", help="files, folders, patterns, or - for a list"
    )
    parser.add_argument("--format", choices=("table", *WRITERS), help="default: by --out")
    parser.add_argument("--out", metavar="FILE", help="write the rows there")
    parser.add_argument("--top-k", type=int, default=_TOP_K, metavar="K", help="labels a picture")
    parser.add_argument(
        "--probabilities", action="store_true", help="write those of all classes too"
    )
    parser.add_argument("--embeddings", metavar="FILE.npz", help="write what the head reads there")
    parser.add_argument("--batch-size", type=int, default=_BATCH, metavar="N")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument(
        "--trust", action="store_true", help="load a hub module, which is a program"
    )


def call(arguments: argparse.Namespace) -> int:
    """Do what a parsed command line asks for; 1 where pictures could not be used."""
    return write_predictions(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0, 1 for bad pictures, or 2 for a mistake."""
    parser = argparse.ArgumentParser("python -m tfxfer.predict", description="Predict pictures.")
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    return exit_code(lambda: call(arguments))


if __name__ == "__main__":
    sys.exit(main())
make_callable(__name__, predict)
