"""Compare tfxfer with Keras code that one writes by hand, on the same files in one session.

    python tools/bench_two_phase.py --data FOLDER --weights FILE [--quick] [--out DIR]

FOLDER holds train/, validation/ and test/ with class folders; FILE holds MobileNetV2's weights
without the top. Each contestant (tools/bench_contestants.py) runs in a
process of its own, whose start counts; tfxfer starts with an empty cache, once for each seed.
Weights are saved during the training and tested afterwards, outside of the timing. `--quick` takes
a tenth of the training and validation pictures, a third of the test pictures, and one seed.

The tool prints tables, and writes results.json and accuracy.png into DIR.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean

import psutil
import tables
from rich.console import Console
from rich.table import Table

TOOLS = Path(__file__).resolve().parent
COLOURS = {"standard": "#b0413e", "careful": "#c98b2b", "tfxfer": "#2a6f97"}
SEEDS = (0, 1, 2)
# With --quick, one picture in so many is taken.
QUICK_SHARES = {"test": 3}
QUICK_SHARE = 10
# Frozen layers are timed on so many batches of 32 pictures.
BATCHES, QUICK_BATCHES = 10, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--weights", required=True, type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    tables.add_write(parser, "recipes", "speeds")
    arguments = parser.parse_args()
    seeds = arguments.seeds or (SEEDS[:1] if arguments.quick else SEEDS)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        data = arguments.data.resolve()
        if arguments.quick:
            data = link_some(data, Path(work) / "data", QUICK_SHARE, QUICK_SHARES)
        shared = [str(data), str(arguments.weights.resolve())]
        results = {
            f"tfxfer, seed {seed}": run("tfxfer", [*shared, str(seed)], Path(work) / f"seed{seed}")
            for seed in seeds
        }
        results["careful"] = run("careful", shared, Path(work) / "careful")
        results["standard"] = run("standard", shared, Path(work) / "standard")
        batches = QUICK_BATCHES if arguments.quick else BATCHES
        speeds = run("speeds", [*shared, str(batches)], Path(work) / "speeds")
    (arguments.out / "results.json").write_text(
        json.dumps({"runs": results, "speeds": speeds}, indent=2) + "\n", encoding="utf-8"
    )
    print_results(results, speeds)
    tables.write(arguments.write, "recipes", list_recipes(results, seeds))
    tables.write(arguments.write, "speeds", list_speeds(speeds))
    draw(results, arguments.out / "accuracy.png")


def run(name: str, arguments: list[str], folder: Path) -> dict:
    """Run a contestant in a process of its own, and watch its memory and disk space."""
    folder.mkdir()
    environment = os.environ | {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TFXFER_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(TOOLS.parent),
    }
    script = str(TOOLS / "bench_contestants.py")
    command = [sys.executable, script, name, str(folder), str(time.time())]
    errors = open(folder / "stderr.txt", "w+", encoding="utf-8")  # noqa: SIM115
    process = subprocess.Popen([*command, *arguments], env=environment, stderr=errors)
    watched, peak_bytes = psutil.Process(process.pid), 0
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):  # The process may end at this moment.
            peak_bytes = max(peak_bytes, watched.memory_info().rss)
        time.sleep(0.2)
    errors.seek(0)
    if process.returncode:
        raise SystemExit(f"{errors.read()}\n{name} ended with code {process.returncode}")
    stored = sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file())
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return result | {"peak_memory_bytes": peak_bytes, "disk_bytes": stored}


def link_some(
    data: Path, folder: Path, one_in: int, by_split: Mapping[str, int] | None = None
) -> Path:
    """Make a folder with links to one picture in so many of each split, and return it."""
    for source in sorted(data.glob("*/*")):
        share = (by_split or {}).get(source.parent.name, one_in)
        place = folder / source.relative_to(data)
        place.mkdir(parents=True)
        for path in sorted(source.iterdir())[::share]:
            (place / path.name).symlink_to(path)
    return folder


def seconds_to(result: dict, accuracy: float) -> float | None:
    """Return the seconds after which a run first had this test accuracy; None if it never had."""
    times = [point["seconds"] for point in result["points"] if point["test"] >= accuracy]
    return min(times, default=None)


def mean_points(results: list[dict]) -> list[dict]:
    """Return the means over several runs of their first points, second points and so on."""
    return [
        {key: fmean(point[key] for point in points) for key in ("seconds", "test")}
        for points in zip(*(result["points"] for result in results), strict=False)
    ]


def print_results(results: dict[str, dict], speeds: dict) -> None:
    """Print how good each contestant was at which time, and the figures that the project claims."""
    console = Console(width=max(120, Console().width))
    columns = ("finished after", "test accuracy", "head alone", "to standard's", "to careful's")
    table = Table("", *columns, "memory", "disk")
    goals = [results[name]["points"][-1]["test"] for name in ("standard", "careful")]
    for name, result in results.items():
        times = [seconds_to(result, goal) for goal in goals]
        table.add_row(
            name,
            f"{result['seconds']:.0f} s",
            f"{result['points'][-1]['test']:.4f}",
            f"{result['points'][result['head']]['test']:.4f}",
            *("never" if seconds is None else f"{seconds:.1f} s" for seconds in times),
            f"{result['peak_memory_bytes'] / 2**30:.2f} GiB",
            f"{result['disk_bytes'] / 1e6:.0f} MB",
        )
    console.print(table)
    ours = [result for name, result in results.items() if name.startswith("tfxfer")]
    standard, careful = results["standard"], results["careful"]
    together = {"points": mean_points(ours)}
    for label, goal, peer in (("standard", goals[0], standard), ("careful", goals[1], careful)):
        reached = seconds_to(together, goal)
        outcome = f"in 1/{peer['seconds'] / reached:.1f} of its time" if reached else "was missed"
        console.print(f"{label}'s accuracy ({goal:.4f}), by the mean of all seeds: {outcome}")
    share = fmean(result["seconds"] for result in ours) / standard["seconds"]
    head = fmean(result["points"][result["head"]]["test"] for result in ours)
    tuned = fmean(result["points"][-1]["test"] for result in ours)
    console.print(
        f"tfxfer, mean of {len(ours)} seeds: head alone {head:.4f}, fine-tuned {tuned:.4f}, "
        f"in 1/{1 / share:.1f} of standard's time"
    )
    table = Table("pictures a second", "keras predict", "engine", "ratio")
    for name, row in speeds["prefix"].items():
        ratio = row["engine"] / row["keras"]
        table.add_row(name, f"{row['keras']:.0f}", f"{row['engine']:.0f} ({row['name']})",
                      f"{ratio:.1f}")  # fmt: skip
    console.print(table)
    whole, cut = speeds["epoch"]["whole"], speeds["epoch"]["cut"]
    console.print(
        f"an epoch of the top {speeds['epoch']['blocks']} blocks, input included: whole network "
        f"{whole:.1f} s, stored features {cut:.1f} s ({speeds['epoch']['precision']}, suffix "
        f"{speeds['epoch']['pictures'] / cut:.0f} pictures/s): {whole / cut:.1f} times faster"
    )


def list_recipes(results: Mapping[str, dict], seeds: Sequence[int]) -> list[list[str]]:
    """Return the table of a document: how good and how fast tfxfer and the recipes are."""
    ours = [result for name, result in results.items() if name.startswith("tfxfer")]
    groups = {f"tfxfer, seeds {', '.join(map(str, seeds))}": ours}
    groups |= {name: [results[name]] for name in ("careful", "standard")}
    rows = [["", "finished after", "test accuracy", "head alone", "memory"]]
    for name, group in groups.items():
        ends = ", ".join(f"{result['seconds']:.0f}" for result in group)
        tests = ", ".join(f"{result['points'][-1]['test']:.3f}" for result in group)
        heads = [result["points"][result["head"]] for result in group]
        head, seconds = (fmean(point[key] for point in heads) for key in ("test", "seconds"))
        peak = max(result["peak_memory_bytes"] for result in group) / 2**30
        rows.append(
            [name, f"{ends} s", tests, f"{head:.3f} after {seconds:.0f} s", f"{peak:.1f} GiB"]
        )
    return rows


def list_speeds(speeds: Mapping[str, dict]) -> list[list[str]]:
    """Return the table of a document: frozen networks and an epoch, by Keras and by tfxfer."""
    rows = [["", "Keras → tfxfer", ""]]
    for name, row in speeds["prefix"].items():
        keras, engine = row["keras"], row["engine"]
        rates = f"{keras:,.0f} → {engine:,.0f}"
        rows.append([f"frozen {name}", rates, f"{engine / keras:.1f} times"])
    whole, cut = speeds["epoch"]["whole"], speeds["epoch"]["cut"]
    label = f"an epoch of the top {speeds['epoch']['blocks']} blocks"
    return [*rows, [label, f"{whole:.1f} s → {cut:.1f} s", f"{whole / cut:.1f} times"]]


def draw(results: dict[str, dict], path: Path) -> None:
    """Draw the test accuracy over the wall time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for name, result in results.items():
        kind = name.split(",")[0]
        seconds = [point["seconds"] for point in result["points"]]
        tests = [point["test"] for point in result["points"]]
        is_first = kind == name or name.endswith("seed 0")
        axes.plot(seconds, tests, "o-", color=COLOURS[kind], markersize=4, linewidth=1.5,
                  label=kind if is_first else None)  # fmt: skip
        if is_first:
            axes.annotate(kind, (seconds[-1], tests[-1]), xytext=(8, 0), color=COLOURS[kind],
                          textcoords="offset points", va="center")  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.ScalarFormatter())
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel("seconds since the process was started (logarithmic)")
    axes.set_ylabel("test accuracy")
    axes.grid(alpha=0.3, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
