"""Compare settings of a preset over several seeds; the presets' own values were chosen with it.

    python tools/compare_settings.py --preset photos --data FOLDER --backbone MobileNetV2 \\
        --weights FILE --variants "" "phases.fine-tune.views=1" "phases.fine-tune.mixup=0.2"

A variant is one or more key=value pairs, separated by spaces; "" is the unchanged preset. The runs
share stored features, so that the first run takes longer than the others.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import tables

import tfxfer
from tfxfer.config.presets import parse_setting
from tfxfer.records.results import RunResult


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", required=True)
    parser.add_argument("--data")
    parser.add_argument("--backbone")
    parser.add_argument("--weights")
    parser.add_argument("--set", dest="settings", nargs="+", default=[], action="extend")
    parser.add_argument("--variants", nargs="+", default=[""])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--label", help="of the row that `--write means-…` writes")
    tables.add_write(parser, "means", "seeds")
    arguments = parser.parse_args()
    common = dict(parse_setting(text) for text in arguments.settings)
    rows: list[list[RunResult]] = []
    print("validation  test    (by seed)              seconds  variant")
    for variant in arguments.variants:
        settings = common | dict(parse_setting(text) for text in variant.split())
        results = []
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as folder:
                result = tfxfer.train(
                    arguments.preset,
                    data=arguments.data,
                    backbone=arguments.backbone,
                    weights=arguments.weights,
                    settings=settings | {"seed": seed},
                    out=Path(folder) / "run",
                    quiet=True,
                )
            if not isinstance(result, RunResult):
                raise SystemExit("Compare settings of single runs, without data.split.folds.")
            results.append(result)
        tests = [result.test.accuracy for result in results]
        print(
            f"{fmean(result.validation.accuracy for result in results):.4f}      "
            f"{fmean(tests):.4f}  {' '.join(f'{test:.4f}' for test in tests)}  "
            f"{fmean(sum(p.seconds for p in result.phases) for result in results):7.1f}  "
            f"{variant or '(as it is)'}",
            flush=True,
        )
        rows.append(results)
    labels = [arguments.label or variant for variant in arguments.variants]
    seeds = ", ".join(map(str, arguments.seeds))
    tables.write(arguments.write, "means", list_means(labels, rows))
    tables.write(arguments.write, "seeds", list_seeds(labels, rows, seeds))


def list_means(labels: Sequence[str], rows: Sequence[Sequence[RunResult]]) -> list[list[str]]:
    """Return the table of a document: mean accuracies and time of each variant."""
    table = [["run", "validation", "test", "time"]]
    for label, results in zip(labels, rows, strict=True):
        validation = fmean(result.validation.accuracy for result in results)
        test = fmean(result.test.accuracy for result in results)
        seconds = fmean(result.seconds for result in results)
        table.append([label, f"{validation:.3f}", f"{test:.3f}", say_seconds(seconds)])
    return table


def list_seeds(
    labels: Sequence[str], rows: Sequence[Sequence[RunResult]], seeds: str
) -> list[list[str]]:
    """Return the table of a document: the test accuracy of each seed, and the mean time."""
    table = [["settings", f"test accuracy (seeds {seeds})", "time"]]
    for label, results in zip(labels, rows, strict=True):
        tests = ", ".join(f"{result.test.accuracy:.3f}" for result in results)
        seconds = fmean(result.seconds for result in results)
        table.append([f"`{label}`" if label else "(as it is)", tests, say_seconds(seconds)])
    return table


def say_seconds(seconds: float) -> str:
    """Say a time in seconds, or in minutes from one and a half on."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.2g} min"


if __name__ == "__main__":
    main()
