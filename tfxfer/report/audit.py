"""The findings of an audit as a table, as JSON and as contact sheets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tfxfer.records.audits import Audit, Copies
from tfxfer.report.sheets import MOST_ROWS, Row, Tile, open_small, write_sheet

JSON = "audit.json"
_SHOWN, _SAMPLES, _TILES = 5, 8, 24
_SPLITS = ("train", "validation", "test")


def print_audit(console: Console, audit: Audit) -> None:
    """Print the findings, the worst first."""
    counts = {split: audit.count(split) for split in _SPLITS if split in audit.splits}
    parts = ", ".join(f"{sum(map(int, each)):,} {split}" for split, each in counts.items())
    console.print(
        f"[bold]{escape(audit.source)}[/]: {len(audit.looks):,} {audit.unit}, "
        f"{len(audit.classes)} classes; usable labels: {parts}",
        soft_wrap=True,
    )
    table = Table("found", audit.unit, "such as", box=None)
    for finding, rows, about in list_findings(audit):
        shown = [f"{_short(audit, row)}{_reason(audit, row)}" for row in rows[:_SHOWN]]
        more = f", … {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
        table.add_row(
            f"{finding}\n[dim]{about}[/]", f"{len(rows):,}", escape("\n".join(shown) + more)
        )
    if audit.refusal:
        console.print(f"[red]training refuses this[/] {escape(audit.refusal)}", soft_wrap=True)
    if table.row_count:
        console.print(table)
    elif not audit.refusal:
        console.print("nothing wrong, odd or twice was found")
    if "train" in counts and len(audit.classes) > 1 and counts["train"].min() > 0:
        low, high = int(counts["train"].min()), int(counts["train"].max())
        console.print(
            f"classes: {low:,} training pictures each"
            if low == high
            else f"classes: {low:,} ({escape(audit.classes[int(counts['train'].argmin())])}) to "
            f"{high:,} ({escape(audit.classes[int(counts['train'].argmax())])}) training "
            f"pictures, {high / low:.1f} to 1"
        )
    sizes = measure_sizes(audit)
    if sizes:
        console.print(
            f"short sides: {sizes['shortest']:,} to {sizes['longest']:,} px, half of them below "
            f"{sizes['median']:,} px"
        )


def list_findings(audit: Audit) -> list[tuple[str, Sequence[int], str]]:
    """Return the name, the rows and the meaning of each kind of finding that the audit has."""
    faults = [row for row, look in enumerate(audit.looks) if look.fault]
    conflicts = _rows(audit.conflicts)
    exact = _rows([group for group in audit.copies if group.is_exact])
    near = _rows([group for group in audit.copies if not group.is_exact])
    findings: list[tuple[str, Sequence[int], str]] = [
        ("cannot be used", faults, "on_bad says whether a run fails or leaves them out"),
        ("leaks", audit.leaks, "copies of pictures in a later split; fix_leaks leaves them out"),
        ("conflicting labels", conflicts, "copies in different classes"),
        ("same bytes twice", exact, "the same file, saved or listed again"),
        ("same picture twice", near, "saved again or resized"),
        *((key, rows, audit.meanings[key]) for key, rows in audit.oddities.items()),
    ]
    return [finding for finding in findings if len(finding[1])]


def measure_sizes(audit: Audit) -> dict[str, int]:
    """Return the shortest, median and longest short side of the usable items, in pixels."""
    short = [min(look.height_px, look.width_px) for look in audit.looks if not look.fault]
    if not short:
        return {}
    return {
        "shortest": min(short),
        "median": round(float(np.median(short))),
        "longest": max(short),
    }


def write_audit(
    folder: Path,
    audit: Audit,
    read: Callable[[Sequence[int]], Iterable[tuple[int, bytes]]],
) -> list[Path]:
    """Write ``audit.json`` and a sheet for each kind of finding; return the paths of the files.

    Args:
        folder: Where the files are written; it is made if it is not there.
        audit: The findings.
        read: A function that yields rows, given in ascending order, with their encoded items;
            it leaves out those that cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(describe(audit), indent=2, ensure_ascii=False)
    (folder / JSON).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    written = [folder / JSON]
    sheets = _list_sheets(audit)
    shown = sorted({row for _, _, rows in sheets for _, each in rows[:MOST_ROWS] for row in each})
    # All items are read at once, because some sources can only be read from start to end.
    pictures = {row: open_small(encoded) for row, encoded in read(shown)}
    for name, title, rows in sheets:
        if rows:
            written.append(folder / f"{name}.png")
            write_sheet(written[-1], title, [_draw(audit, pictures, *row) for row in rows])
    return written


def _draw(
    audit: Audit, pictures: Mapping[int, np.ndarray | None], heading: str, rows: Sequence[int]
) -> Row:
    captions = (f"{audit.splits[row]}: {_short(audit, row)}" for row in rows)
    return Row(
        heading, tuple(Tile(pictures.get(r), c) for r, c in zip(rows, captions, strict=True))
    )


def describe(audit: Audit) -> dict[str, Any]:
    """Return an audit as JSON values, in which an item is named by where it lies."""
    paths = [look.path for look in audit.looks]

    def list_copies(groups: Sequence[Copies]) -> list[dict[str, Any]]:
        return [
            {
                "exact": group.is_exact,
                "files": [
                    {
                        "path": paths[row],
                        "split": audit.splits[row],
                        "labels": [audit.classes[n] for n in audit.labels[row]],
                    }
                    for row in group.rows
                ],
            }
            for group in groups
        ]

    return {
        "source": audit.source,
        "refusal": audit.refusal,
        "files": len(paths),
        "classes": {
            split: dict(zip(audit.classes, map(int, audit.count(split)), strict=True))
            for split in _SPLITS
            if split in audit.splits
        },
        "faults": [{"path": look.path, "reason": look.fault} for look in audit.faults],
        "oddities": {key: [paths[row] for row in rows] for key, rows in audit.oddities.items()},
        "copies": list_copies(audit.copies),
        "conflicts": list_copies(audit.conflicts),
        "leaks": [paths[row] for row in audit.leaks],
        "short_sides_px": measure_sizes(audit),
    }


def _list_sheets(audit: Audit) -> list[tuple[str, str, list[tuple[str, list[int]]]]]:
    """Return the name and title of each sheet, with the heading and the items of its rows."""
    reasons: dict[str, list[int]] = {}
    for number, look in enumerate(audit.looks):
        if look.fault:
            reasons.setdefault(look.fault, []).append(number)
    leaking = set(audit.leaks)
    groups = {
        "leaks": [group for group in audit.copies if leaking & set(group.rows)],
        "conflicts": audit.conflicts,
        "copies": audit.copies,
    }
    samples = {
        name: [
            row
            for row, labels in enumerate(audit.labels)
            if number in labels and not audit.looks[row].fault
        ]
        for number, name in enumerate(audit.classes)
    }
    odd = {f"{key}: {audit.meanings[key]}": list(rows) for key, rows in audit.oddities.items()}
    titles = {"leaks": "copies across splits", "conflicts": "copies with different labels",
              "copies": "pictures that are there twice"}  # fmt: skip
    return [
        ("faults", f"{audit.unit} that cannot be used", _spread(reasons, _TILES)),
        *(
            (
                name,
                titles[name],
                [(_heading(audit, group), list(group.rows[:_TILES])) for group in found],
            )
            for name, found in groups.items()
        ),
        ("odd", "unusual pictures, which are used all the same", _spread(odd, _SAMPLES)),
        ("classes", "some of each class", _spread(samples, _SAMPLES)),
    ]


def _spread(by_heading: Mapping[str, list[int]], most: int) -> list[tuple[str, list[int]]]:
    """Return one row for each heading, with at most `most` evenly spaced members of its list."""
    rows = []
    for heading, members in by_heading.items():
        places = np.unique(np.linspace(0, len(members) - 1, min(most, len(members))).astype(int))
        rows.append((f"{heading} ({len(members):,})", [members[place] for place in places]))
    return rows


def _heading(audit: Audit, group: Copies) -> str:
    labels = sorted({audit.classes[number] for row in group.rows for number in audit.labels[row]})
    kind = "the same bytes" if group.is_exact else "the same picture"
    return f"{kind}, {len(group.rows)} times: {', '.join(labels)}"


def _rows(groups: Sequence[Copies]) -> list[int]:
    return [row for group in groups for row in group.rows]


def _short(audit: Audit, row: int) -> str:
    return "/".join(Path(audit.looks[row].path).parts[-2:])


def _reason(audit: Audit, row: int) -> str:
    fault = audit.looks[row].fault
    return f": {fault}" if fault else ""
