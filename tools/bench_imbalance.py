"""Compare the ways of balancing classes of different sizes, on an imbalanced part of a folder.

    python tools/bench_imbalance.py --data FOLDER --backbone MobileNetV2 --weights FILE
    python tools/bench_imbalance.py --data FOLDER --backbone MobileNetV2 --weights FILE --phases all

The folder has train/, validation/ (or val/) and test/. The classes are sorted by their number of
training pictures, and these numbers are reduced so that they fall geometrically to a tenth
(`--ratio`). All validation and test pictures are kept. The part is a folder of links that depends
on nothing but the seed, so that seeds and methods may be measured in separate calls.
`--phases head` trains a head alone, on the averaged outputs of six blocks; `--phases all` is the
preset `photos`, which then fine-tunes the top five.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import tables

import tfxfer
from tfxfer.records.results import RunResult

METHODS = ("none", "class_weights", "sampling", "logit_adjustment")
HEAD_ALONE = """\
[head]
levels = 6

[[phases]]
name = "head"
learning_rate = 3e-3
solver = "{solver}"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--backbone")
    parser.add_argument("--weights")
    parser.add_argument("--phases", default="head", choices=("head", "all"))
    parser.add_argument("--solver", default="auto", help="of a head alone")
    parser.add_argument("--ratio", type=float, default=10.0)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    tables.add_write(parser, "balance")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        preset = "photos" if arguments.phases == "all" else str(work / "head.toml")
        (work / "head.toml").write_text(HEAD_ALONE.format(solver=arguments.solver))
        results: dict[str, list[RunResult]] = {method: [] for method in arguments.methods}
        for seed in arguments.seeds:
            cut = work / f"cut-{seed}"
            sizes = thin_geometrically(arguments.data, cut, arguments.ratio, seed)
            print(f"seed {seed}: {sum(sizes.values()):,} training pictures, {sizes}", flush=True)
            for method in arguments.methods:
                result = tfxfer.train(
                    preset,
                    data=cut,
                    backbone=arguments.backbone,
                    weights=arguments.weights,
                    settings={"data.balance": method, "seed": seed},
                    out=work / f"run-{seed}-{method}",
                    quiet=True,
                )
                if not isinstance(result, RunResult):
                    raise SystemExit(
                        "The preset cuts the data into folds; this compares single runs."
                    )
                results[method].append(result)
                print(f"  {_line(method, [result])}", flush=True)
    print("method            macro F1 (by seed)                accuracy (by seed)")
    for method, runs in results.items():
        print(_line(method, runs))
    figures = {name: [run.test.macro_f1 for run in runs] for name, runs in results.items()}
    tables.write(arguments.write, "balance", list_rows(figures))


def list_rows(figures: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """Return the table of a document: the mean macro F1 of each method over its runs."""
    rows = [[f"`{method}`", f"{fmean(runs):.3f}"] for method, runs in figures.items()]
    return [["`data.balance`", "macro F1"], *rows]


def thin_geometrically(data: Path, cut: Path, ratio: float, seed: int) -> dict[str, int]:
    """Link an imbalanced choice of a folder's training pictures, and its other pictures.

    Args:
        data: A folder with train/ and other splits, each of class folders.
        cut: The folder of links, which is made.
        ratio: The number of pictures of the largest class for each one of the smallest.
        seed: The seed that decides which pictures are taken.

    Returns:
        The number of training pictures of each class, in descending order.
    """
    classes = {folder.name: sorted(folder.iterdir()) for folder in (data / "train").iterdir()}
    ordered = sorted(classes, key=lambda label: (-len(classes[label]), label))
    shares = [ratio ** (-rank / (len(ordered) - 1)) for rank in range(len(ordered))]
    # The largest class is as large as all smaller classes allow.
    largest = min(len(classes[label]) / share for label, share in zip(ordered, shares, strict=True))
    sizes = {}
    for label, share in zip(ordered, shares, strict=True):
        sizes[label] = max(2, round(largest * share))
        chosen = random.Random(f"{seed} {label}").sample(classes[label], sizes[label])
        _link(cut / "train" / label, chosen)
    for split in ("validation", "val", "test"):
        for folder in (data / split).iterdir() if (data / split).is_dir() else ():
            _link(cut / split / folder.name, list(folder.iterdir()))
    return sizes


def _link(folder: Path, files: list[Path]) -> None:
    folder.mkdir(parents=True)
    for file in files:
        (folder / file.name).symlink_to(file.resolve())


def _line(method: str, runs: list[RunResult]) -> str:
    columns = [[run.test.macro_f1 for run in runs], [run.test.accuracy for run in runs]]
    cells = [f"{fmean(own):.4f}  {' '.join(f'{one:.4f}' for one in own)}" for own in columns]
    return f"{method:16}  {cells[0]:32}  {cells[1]}"


if __name__ == "__main__":
    main()
