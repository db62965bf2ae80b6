"""Export a run in every format and compare them on its test pictures.

    python tools/bench_formats.py RUN [--data FOLDER]

RUN is a run's folder; FOLDER says where its pictures lie now. Each format is written to a temporary
folder and loaded by its own runtime. The tool prints a table of the size, the median time for one
decoded picture and for 32, the test accuracy, the share of labels that are the trained model's, and
the largest difference from its probabilities.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tables
from rich.console import Console
from rich.table import Table

import tfxfer
from tfxfer import run
from tfxfer.config.presets import load_config
from tfxfer.data.pipeline import make_evaluation_dataset
from tfxfer.export.measure import measure
from tfxfer.machine.processes import ALONE
from tfxfer.modalities.pictures.view import plain_view
from tfxfer.prediction.load import load_predictor
from tfxfer.records.exports import ExportedFormat
from tfxfer.training.job import load_items

HEADER = ("format", "size", "one picture", "32 pictures", "test accuracy", "largest difference")


def list_cells(row: ExportedFormat) -> list[str]:
    """Return the cells of a format in the table of a document."""
    return [
        f"`{row.format}`",
        f"{row.size_bytes / 1e6:.1f} MB",
        f"{row.latency_ms[0]:.1f} ms",
        f"{row.latency_ms[1]:.0f} ms",
        f"{row.accuracy:.3f}",
        np.format_float_positional(row.max_difference, 1, fractional=False, trim="-"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data")
    tables.add_write(parser, "formats")
    arguments = parser.parse_args()
    console = Console(width=max(120, Console().width))
    config = load_config(arguments.run / run.CONFIG, data=arguments.data)
    pictures = load_items(config, console, share=ALONE)
    model = tfxfer.load_model(arguments.run)
    test = pictures.test
    dataset = make_evaluation_dataset(
        test, plain_view(model.input_shape[1]), class_count=len(pictures.classes), batch_size=32
    )
    trained = model.predict(dataset, verbose=0)
    table = Table("format", "size", "one picture", "32 pictures", "test accuracy", "difference",
                  "same label")  # fmt: skip
    rows = [list(HEADER)]
    with tempfile.TemporaryDirectory() as folder:
        exported = tfxfer.export_run(
            arguments.run, ["all"], data=arguments.data, out=folder, force=True, quiet=True
        )
        places = {"trained (Keras)": arguments.run} | {row.format: row.path for row in exported}
        for name, place in places.items():
            if place is None:
                console.print(f"{name} was not written")
                continue
            file = place / run.MODEL if place == arguments.run else place
            row = measure(
                name,
                load_predictor(place),
                file,
                dataset=dataset,
                labels=test.labels,
                trained=trained,
            )
            if place != arguments.run:
                rows.append(list_cells(row))
            table.add_row(
                name,
                f"{row.size_bytes / 1e6:.1f} MB",
                f"{row.latency_ms[0]:.1f} ms",
                f"{row.latency_ms[1]:.0f} ms",
                f"{row.accuracy:.4f}",
                f"{row.max_difference:.1g}",
                f"{row.agreement:.1%}",
            )
    console.print(table)
    tables.write(arguments.write, "formats", rows)
    console.print(f"{len(test.labels)} test pictures")


if __name__ == "__main__":
    main()
