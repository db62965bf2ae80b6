"""Train a preset under TensorFlow and under JAX, and compare how good and how fast they are.

    python tools/compare_backends.py [--preset birds] [--seeds 0 1] [-- --data FOLDER …]

Arguments after ``--`` go to ``python -m tfxfer.train``. Each run is a process of its own, whose
start counts, with an empty cache. Both exported models are then loaded by TensorFlow alone. The
exit code is 1 if test accuracies differ by more than 0.03, or if a model does not answer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import tables

ROOT = Path(__file__).resolve().parent.parent
NAMES = {"tensorflow": "TensorFlow", "jax": "JAX"}
BACKENDS = tuple(NAMES)
MOST = 0.03
# This program serves a model by TensorFlow, which would import Keras and JAX if they are installed.
SERVE = """
import json, sys
sys.modules.update(dict.fromkeys(("jax", "keras", "tfxfer")))  # cannot be imported
import numpy as np, tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
size_px = serve.structured_input_signature[1]["pictures"].shape[1]
pictures = np.random.default_rng(0).uniform(0, 255, (3, size_px, size_px, 3)).astype(np.float32)
probabilities = serve(pictures=tf.constant(pictures))["probabilities"].numpy()
print(json.dumps(probabilities.sum(axis=1).tolist()))
"""


def run(command: Sequence[str], **settings: str) -> str:
    """Run Python in a process of its own, and return what it prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **settings}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{done.stderr}\nThe process ended with code {done.returncode}.")
    return done.stdout


def answers(export: Path) -> bool:
    """Return whether TensorFlow alone gets probabilities for three pictures from an export."""
    sums = json.loads(run(["-c", SERVE, str(export)]))
    return [round(each, 3) for each in sums] == [1.0] * 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="birds")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("arguments", nargs="*", help="of python -m tfxfer.train, behind --")
    tables.add_write(parser, "backends")
    arguments = parser.parse_args()
    train = ["-m", "tfxfer.train", "--preset", arguments.preset, "--quiet", *arguments.arguments]
    run([*train, "--dry-run"])  # This prepares the pictures, so that neither run has to.
    is_fine, rows = True, {backend: [name] for backend, name in NAMES.items()}
    print("seed  backend     test accuracy  seconds  SavedModel in TensorFlow alone")
    for seed in arguments.seeds:
        accuracies = []
        for backend in BACKENDS:
            with tempfile.TemporaryDirectory() as folder:
                out, start = Path(folder) / "run", time.monotonic()
                run(
                    [*train, "--set", f"seed={seed}", "--out", str(out)],
                    KERAS_BACKEND=backend,
                    TFXFER_CACHE=str(Path(folder) / "cache"),
                )
                seconds = time.monotonic() - start
                accuracies.append(json.loads((out / "metrics.json").read_text())["test.accuracy"])
                served = answers(out / "export" / "1")
            is_fine &= served
            rows[backend].append(f"{accuracies[-1]:.3f}")
            figures = f"{accuracies[-1]:13.4f}  {seconds:7.1f}"
            said = "answers" if served else "gives no probabilities"
            print(f"{seed:4}  {backend:10}  {figures}  {said}", flush=True)
        difference = accuracies[1] - accuracies[0]
        is_fine &= abs(difference) <= MOST
        print(f"{seed:4}  jax – tensorflow: {difference:+.4f} (at most ±{MOST})", flush=True)
    header = [f"`{arguments.preset}`", *(f"test accuracy, seed {seed}" for seed in arguments.seeds)]
    tables.write(arguments.write, "backends", [header, *rows.values()])
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
