"""Write tables of measurements into the documents that show them, and list those that are there.

    python tools/tables.py

A table stands between two comments. The first one holds the command that measures the table:

    <!-- measured: tools/bench_formats.py RUN --write formats -->
    | format | size |
    |---|---|
    | `onnx` | 9.0 MB |
    <!-- end -->

A tool that measures takes `--write NAME` by `add_write`, and gives its rows to `write`. The first
word of a name says which of the tool's tables it is: `speeds-amx` and `speeds-avx512` are the
table `speeds` of two machines. A row replaces the row with the same first cell, and other rows
stay, so that a table may be measured in several calls.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_MARKED = re.compile(r"<!-- measured: (.+?) --write ([\w-]+) -->\n(.*?)<!-- end -->", re.S)

Rows = Sequence[Sequence[str]]


def list_documents() -> list[Path]:
    """List the documents that may have tables of measurements."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def list_tables(path: Path) -> Iterator[tuple[str, str, list[list[str]]]]:
    """Yield the name, the command and the rows of each measured table of a document."""
    for command, name, table in _MARKED.findall(path.read_text(encoding="utf-8")):
        yield name, command, read_rows(table)


def read_rows(table: str) -> list[list[str]]:
    """Read the cells of a table in Markdown: its header and its rows."""
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in table.splitlines()
        if line.strip()
    ]
    return [row for row in rows if set("".join(row)) - set("-:") or not any(row)]


def find_document(name: str) -> Path:
    """Find the document that has the table of this name.

    Raises:
        ValueError: No document has it, or several do.
    """
    found = [path for path in list_documents() for own, *_ in list_tables(path) if own == name]
    if len(found) != 1:
        raise ValueError(f"One document must have a table {name!r}. Received: {len(found)}.")
    return found[0]


def write_table(path: Path, name: str, rows: Rows, is_whole: bool = False) -> None:
    """Write rows into a table of a document.

    Args:
        path: The document.
        name: The name of the table, which stands behind `--write` in its first comment.
        rows: The header and the measured rows. A row replaces the one with the same first cell; if
            the header has another number of cells than before, the earlier rows are removed.
        is_whole: Whether these are all rows of the table, so that no earlier one stays.

    Raises:
        ValueError: The document has no such table, or the rows have different numbers of cells.
    """
    (header, *measured), before = rows, dict((own, table) for own, _, table in list_tables(path))
    if name not in before or len({len(row) for row in rows}) != 1:
        raise ValueError(
            f"A table needs a place in {path.name} and rows of one length. Received: "
            f"name={name!r}, rows of {sorted({len(row) for row in rows})} cells; the document has "
            f"{', '.join(before) or 'none'}."
        )
    earlier = [] if is_whole else before[name][1:]
    merged = {row[0]: row for row in earlier if len(row) == len(header)}
    merged |= {row[0]: list(row) for row in measured}
    rule = "|" + "---|" * len(header) + "\n"
    table = "".join([_line(header), rule, *map(_line, merged.values())])

    def replace(found: re.Match) -> str:
        own = found[2] == name
        comment = f"<!-- measured: {found[1]} --write {found[2]} -->\n"
        return f"{comment}{table}<!-- end -->" if own else found[0]

    text = path.read_text(encoding="utf-8")
    path.write_text(_MARKED.sub(replace, text), encoding="utf-8")


def _line(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|\n"


def add_write(parser: argparse.ArgumentParser, *kinds: str) -> None:
    """Add the option that names the tables to write, so that a wrong name ends the tool at once.

    Args:
        parser: The parser of the tool.
        kinds: The tables that the tool can write, which are the first words of names.
    """
    parser.add_argument(
        "--write",
        nargs="+",
        default=[],
        type=partial(_check_name, kinds),
        metavar="NAME",
        help=f"write a table of README.md or docs/: {', '.join(kinds)}, or one that begins so",
    )


def _check_name(kinds: Sequence[str], name: str) -> str:
    if name.partition("-")[0] not in kinds:
        raise argparse.ArgumentTypeError(
            f"a name must begin with {', '.join(kinds)}. Received: {name!r}."
        )
    try:
        find_document(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return name


def write(names: Sequence[str], kind: str, rows: Rows, is_whole: bool = False) -> None:
    """Write rows into those of the named tables that are of a kind, as `write_table` does."""
    for name in names:
        if name.partition("-")[0] == kind:
            write_table(find_document(name), name, rows, is_whole)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    for path in list_documents():
        for name, command, rows in list_tables(path):
            print(f"{path.name}: {name}, {len(rows) - 1} rows, python {command} --write {name}")


if __name__ == "__main__":
    main()
