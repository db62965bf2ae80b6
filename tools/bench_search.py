"""Time a search of tfxfer against the same configs trained one by one through the whole network.

    python tools/bench_search.py --data FOLDER --weights FILE [--trials 20] [--share 20]
        [--epochs N] [--out DIR]

FOLDER holds train/, validation/ and test/ with class folders; FILE holds MobileNetV2's weights
without the top. One picture in `--share` is taken from each split. The search runs first, in a
process of its own with an empty cache. Then `tfxfer.train` trains each of its configs in a process
of its own that stores no features, runs the frozen layers by Keras in every epoch, and uses no
solver, as one would do with `Model.fit` and a loop. `--epochs` shortens the phases of both.

The tool prints both times and their ratio, and the figures of both winners. It writes results.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tables
from bench_two_phase import TOOLS, link_some

import tfxfer
from tfxfer.config.presets import dump_config
from tfxfer.search.folder import load_trials
from tfxfer.search.space import make_space, propose


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--weights", required=True, type=Path)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--share", type=int, default=20)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    tables.add_write(parser, "search")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        data = link_some(arguments.data.resolve(), folder / "data", arguments.share)
        common = ["--preset", "photos", "--data", str(data), "--backbone", "MobileNetV2",
                  "--weights", str(arguments.weights.resolve())]  # fmt: skip
        names = ("head", "fine-tune") if arguments.epochs else ()
        epochs = {f"phases.{name}.epochs": arguments.epochs for name in names}
        search = folder / "search"
        given = [*common, "--trials", str(arguments.trials), "--out", str(search)]
        for key, value in epochs.items():
            given += ["--set", f"{key}={value}"]
        searched = run("tfxfer.tune", given, folder)
        trials = [trial for trial in load_trials(search) if trial.status == "done"]
        plain = {}
        for trial in trials:
            preset = folder / f"{trial.number}.toml"
            preset.write_text(plain_config(common, trial.values, epochs), encoding="utf-8")
            out = folder / f"plain-{trial.number}"
            seconds = run("tfxfer.train", ["--preset", str(preset), "--out", str(out)], folder)
            metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
            plain[trial.number] = {"seconds": seconds, "val.accuracy": metrics["val.accuracy"]}
            print(f"trial {trial.number}: {seconds:.0f} s alone, {trial.seconds:.0f} s searched")
        found = json.loads((search / "search.json").read_text(encoding="utf-8"))
    alone = sum(each["seconds"] for each in plain.values())
    print(f"\nsearch, its start and the winner's run included: {searched:.0f} s")
    print(f"the same {len(plain)} configs one by one: {alone:.0f} s")
    print(f"the search takes 1/{alone / searched:.1f} of the time")
    print(f"{found['verdict']}; test accuracy of the winner {found['best']['test.accuracy']:.3f}")
    tables.write(arguments.write, "search", list_rows(searched, alone))
    results = {"search_seconds": searched, "plain_seconds": alone, "plain": plain, "search": found}
    (arguments.out / "search.json").write_text(json.dumps(results, indent=1), encoding="utf-8")


def list_rows(searched: float, alone: float) -> list[list[str]]:
    """Return the table of a document: the seconds of the search, and of its configs alone."""
    return [
        ["", "time"],
        ["the search, its start and the winner's run included", f"{searched:,.0f} s"],
        ["the same configs one by one", f"{alone:,.0f} s, {alone / searched:.1f} times as long"],
    ]


def plain_config(common: list[str], values: dict, epochs: dict[str, int]) -> str:
    """Return a trial's config that stores nothing and uses only Keras and gradient steps."""
    _, preset, _, data, _, backbone, _, weights = common
    settings: dict[str, object] = {
        "features.max_disk_gb": 0,
        "features.engine": "tensorflow",
        "phases.head.solver": "adamw",
        "phases.fine-tune.precision": "float32",
        **epochs,
    }
    config = tfxfer.load_config(
        preset, data=data, backbone=backbone, weights=weights, settings=settings
    )
    blocks = tfxfer.build_backbone(config.backbone).blocks
    return dump_config(propose(config, make_space(config, blocks), values))


def run(module: str, arguments: list[str], folder: Path) -> float:
    """Run a command of tfxfer in a process of its own; return the seconds that it took."""
    environment = os.environ | {
        "TFXFER_CACHE": str(folder / "cache"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(TOOLS.parent),
    }
    started = time.monotonic()
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout[-2000:]}\n{done.stderr}\n{module} failed")
    return time.monotonic() - started


if __name__ == "__main__":
    main()
