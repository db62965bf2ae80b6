"""Show that memory is bounded and that time grows in proportion to the number of pictures.

    python tools/bench_scale.py [--pictures 1000 5000 20000 50000] [--limit-gib 3] [--out DIR]

The tool draws JPEG pictures of 400 x 300 px and runs the preset `photos` on them with a MobileNetV2
of random weights, including fine-tuning, with an empty cache. Each run is a process of its own,
which is ended when its resident memory exceeds the limit. The tool writes scale.json and scale.png
into DIR.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import tables
from PIL import Image
from rich.console import Console
from rich.table import Table

CLASSES = 10
SETTINGS = ("backbone.alpha=0.35", "backbone.image_size_px=96", "phases.fine-tune.epochs=2")


def draw_picture(folder: Path, index: int) -> None:
    """Write a smooth random picture of its class's colour."""
    generator = np.random.default_rng(index)
    label = index % CLASSES
    colour = 255 * np.array([label % 2, label // 2 % 2, label / CLASSES])
    small = 0.5 * colour + generator.integers(0, 128, (12, 16, 3))
    picture = Image.fromarray(small.astype(np.uint8)).resize((400, 300), Image.Resampling.BICUBIC)
    picture.save(folder / f"class{label}" / f"{index:06d}.jpg")


def link_pictures(source: Path, folder: Path, count: int) -> Path:
    """Make a folder with links to the first pictures, and return it."""
    for path in sorted(source.glob("*/*.jpg"), key=lambda path: path.name)[:count]:
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        (folder / path.parent.name / path.name).symlink_to(path)
    return folder


def run(data: Path, weights: Path, work: Path, limit_bytes: float) -> dict:
    """Train in a process of its own, and look at its resident memory."""
    command = [sys.executable, "-m", "tfxfer.train", "--preset", "photos", "--data", str(data),
               "--backbone", "MobileNetV2", "--weights", str(weights),
               "--out", str(work / "run"), "--quiet",
               "--set", *SETTINGS]  # fmt: skip
    environment = os.environ | {"TFXFER_CACHE": str(work / "cache")}
    start, peak = time.monotonic(), 0
    process = subprocess.Popen(command, env=environment)
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):  # The process may end at this moment.
            peak = max(peak, watched.memory_info().rss)
        if peak > limit_bytes:
            process.kill()
            raise SystemExit(f"{data.name} pictures passed the limit of {limit_bytes:,.0f} bytes")
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"the run of {data.name} pictures ended with code {process.returncode}")
    seconds = time.monotonic() - start
    stored = sum(path.stat().st_size for path in (work / "cache").rglob("*") if path.is_file())
    phases = json.loads((work / "run" / "metrics.json").read_text())["phases"]
    parts = {phase["name"]: phase["seconds"] for phase in phases}
    return {"pictures": int(data.name), "seconds": seconds, "peak_memory_bytes": peak,
            "stored_bytes": stored, "phases": parts}  # fmt: skip


def draw_plot(rows: list[dict], limit_gib: float, path: Path) -> None:
    """Draw the seconds and the memory over the number of pictures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (times, memory) = pyplot.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    counts = [row["pictures"] for row in rows]
    seconds = [row["seconds"] for row in rows]
    slope, start = np.polyfit(counts, seconds, 1)
    times.plot(counts, seconds, "o", color="#2a6f97")
    line = np.array([0, max(counts)])
    times.plot(line, start + slope * line, "--", color="#888888", linewidth=1)
    times.set_title(f"{start:.0f} s + {1000 * slope:.1f} s for each 1,000 pictures", fontsize=10)
    times.set_ylabel("seconds of the whole run")
    memory.plot(counts, [row["peak_memory_bytes"] / 2**30 for row in rows], "o-", color="#2a6f97")
    memory.axhline(limit_gib, color="#b0413e", linewidth=1)
    memory.set_title("largest resident memory, and the limit", fontsize=10)
    memory.set_ylabel("GiB")
    for axes in (times, memory):
        axes.set_xlabel("pictures")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def list_rows(rows: list[dict]) -> list[list[str]]:
    """Return the table of a document: the time and the memory of each number of pictures."""
    table = [["pictures", "time", "largest resident memory"]]
    for row in rows:
        memory = f"{row['peak_memory_bytes'] / 2**30:.1f} GiB"
        table.append([f"{row['pictures']:,}", f"{row['seconds']:.0f} s", memory])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", nargs="+", type=int, default=[1000, 5000, 20000, 50000])
    parser.add_argument("--limit-gib", type=float, default=3.0)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    tables.add_write(parser, "scale")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    table = Table("pictures", "seconds", "largest resident memory", "stored", "phases")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "drawn"
        for label in range(CLASSES):
            (drawn / f"class{label}").mkdir(parents=True)
        with ProcessPoolExecutor() as pool:
            largest = range(max(arguments.pictures))
            list(pool.map(partial(draw_picture, drawn), largest, chunksize=500))
        weights = Path(folder) / "random.weights.h5"
        save = ("import sys, keras; keras.utils.set_random_seed(0); keras.applications.MobileNetV2("
                "include_top=False, weights=None, alpha=0.35, input_shape=(96, 96, 3))"
                ".save_weights(sys.argv[1])")  # fmt: skip
        subprocess.run([sys.executable, "-c", save, weights], check=True)
        for count in arguments.pictures:
            work = Path(folder) / f"work{count}"
            work.mkdir()
            data = link_pictures(drawn, work / str(count), count)
            rows.append(run(data, weights, work, arguments.limit_gib * 2**30))
            row = rows[-1]
            table.add_row(
                f"{count:,}",
                f"{row['seconds']:.0f}",
                f"{row['peak_memory_bytes'] / 2**30:.2f} GiB",
                f"{row['stored_bytes'] / 1e6:,.0f} MB",
                ", ".join(f"{name} {seconds:.0f} s" for name, seconds in row["phases"].items()),
            )
    (arguments.out / "scale.json").write_text(json.dumps(rows, indent=2) + "\n")
    draw_plot(rows, arguments.limit_gib, arguments.out / "scale.png")
    Console().print(table)
    tables.write(arguments.write, "scale", list_rows(rows))


if __name__ == "__main__":
    main()
