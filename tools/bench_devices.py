"""Measure frozen layers and the training above them on this machine's device, by arithmetic.

    KERAS_BACKEND=jax python tools/bench_devices.py [--data FOLDER] [--seconds 5] [--batch 32]

Networks have random weights and are cut below their top four blocks. Below the cut, pictures in
memory go through Keras's backend in float32 and through the engine of mixed precision, with both
ways between host and device. Photographs follow, to measure the share of the time spent waiting
for them. FOLDER holds photographs, in any folders; without it, some are drawn. Above the cut,
`fit` trains on random features, and the first steps do not count. The tool prints a Markdown table.
Ratios are to float32 as the backend computes it by default: on some GPUs with TF32, on TPUs with
bfloat16.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

import numpy as np
import tables
from PIL import Image

from tfxfer.errors import InputError, exit_code, first_line
from tfxfer.kinds import TASKS
from tfxfer.machine import runtime
from tfxfer.modalities.pictures.networks.families import NETWORKS

DEFAULT = ("MobileNetV2", "EfficientNetV2B0", "ResNet50")
MIXED = ("bfloat16_rewrite", "mixed_float16", "mixed_bfloat16")
UNFROZEN, CLASSES = 4, 10
DRAWN, ENDINGS = 300, (".jpg", ".jpeg", ".png")
# One pass repeats the photographs up to this number, which no device reaches in its time.
MOST_PICTURES = 100_000
# So many steps of training do not count, because the first one compiles.
SKIPPED_STEPS = 3
HEADER = """| network | part | arithmetic | pictures a second | of float32's | waiting for input |
|---|---|---|---|---|---|"""
# Pictures a second, and the share of the time spent waiting for input, if it was measured.
Figures = tuple[float, float | None]
# A measure has a part, an engine or precision, and a function that gives the figures.
Measure = tuple[str, str, Callable[[], Figures]]
Item = TypeVar("Item")


def draw_pictures(folder: Path) -> None:
    """Write JPEG pictures of 400 x 500 px: noise on gradients."""
    generator = np.random.default_rng(0)
    for index in range(DRAWN):
        corners = generator.integers(0, 256, (2, 2, 3)).astype(np.uint8)
        smooth = Image.fromarray(corners).resize((400, 500), Image.Resampling.BILINEAR)
        noisy = np.asarray(smooth) + generator.normal(0, 12, (500, 400, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{index}.jpg")


def until(seconds: float, items: Iterable[Item]) -> Iterator[Item]:
    """Yield items until so many seconds after the first one was asked for, and at least one."""
    end = time.monotonic() + seconds
    for item in items:
        yield item
        if time.monotonic() >= end:
            return


def list_engines() -> tuple[str, str]:
    """Return the engine of float32, which has the backend's name, and that of mixed precision."""
    import keras

    backend = keras.backend.backend()
    # On a CPU, TensorFlow is several times slower with XLA than without.
    return backend, "xla" if backend == "jax" or runtime.has_accelerator() else "openvino"


def time_prefix(backbone, head, cut, name: str, paths: list[str], seconds: float) -> Figures:
    """Time an engine on pictures in memory, and see how long it waits for photographs."""
    from rich.console import Console

    from tfxfer.data.items import FileSet
    from tfxfer.data.pipeline import make_view_batches
    from tfxfer.features.cut import build_prefix
    from tfxfer.features.engines import BATCH, ENGINES, Engine, check_installed
    from tfxfer.features.recorder import Recorder
    from tfxfer.modalities.pictures.view import plain_view

    check_installed(name)
    # `choose_engine` is not used, because random weights lose more in bfloat16 than it accepts.
    engine = Engine(name, ENGINES[name](build_prefix(backbone, head, [cut])))
    shape = (BATCH, backbone.input.shape[0], backbone.input.shape[0], 3)
    batch = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    for _ in engine.run(repeat(batch, 2)):  # Some engines compile at the first call.
        pass
    start = time.monotonic()
    count = sum(len(features) for (features,) in engine.run(until(seconds, repeat(batch))))
    rate = count / (time.monotonic() - start)

    rows = np.arange(MOST_PICTURES) % len(paths)
    labels = TASKS["classes"].read(rows)
    photographs = FileSet(tuple(paths[row] for row in rows), labels)
    views = make_view_batches(photographs, plain_view(backbone.input.shape[0]), batch_size=BATCH)
    next(views)  # The reading has begun now.
    recorder = Recorder(Console(quiet=True))
    for _ in recorder.time(engine, until(seconds, views)):
        pass
    clock = recorder.clock
    return rate, clock.input_seconds / (clock.input_seconds + clock.prefix_seconds)


def build_parts(name: str, size_px: int):
    """Return a network with random weights, a head, and the cut above the frozen layers."""
    from tfxfer.backbones.build import build_backbone
    from tfxfer.config.backbone import BackboneConfig
    from tfxfer.config.head import HeadConfig
    from tfxfer.features.cut import find_cut
    from tfxfer.tasks.heads import build_head

    backbone = build_backbone(BackboneConfig(name=name, weights="none", image_size_px=size_px))
    head = build_head(HeadConfig(), CLASSES, 0)
    return backbone, head, find_cut(backbone, head, UNFROZEN)


@contextmanager
def in_training(backbone, head, cut, precision: str) -> Iterator[Any]:
    """Give the compiled model above a cut, which computes in the precision inside the block."""
    from tfxfer.config.phases import ResolvedPhase
    from tfxfer.phases.parts import PhaseParts
    from tfxfer.phases.precision import in_precision
    from tfxfer.phases.prepare import layers_of, prepare_phase
    from tfxfer.phases.unfreeze import unfreeze_for

    phase = ResolvedPhase(
        name="bench", unfreeze=cut.unfrozen, epochs=1, views=1, mixup=0.0, learning_rate=1e-4
    )
    labels = TASKS["classes"].read(np.arange(CLASSES))
    objective = TASKS["classes"].make_objective(labels, CLASSES)
    parts = PhaseParts(phase, backbone, head, cut, objective)
    unfrozen = unfreeze_for(phase, backbone)
    with in_precision(layers_of(backbone.network, unfrozen), precision):
        yield prepare_phase(parts, steps=10**6, precision=precision)


def time_suffix(backbone, head, cut, precision: str, batch: int, seconds: float) -> Figures:
    """Time steps of training on batches of random features."""
    import keras
    import tensorflow as tf

    from tfxfer.data.items import untuned
    from tfxfer.phases.memory import memory_errors

    drawn = np.random.default_rng(0).random((batch, *cut.shape), np.float32)
    features = drawn.astype(np.float16)  # Features are stored in this type.
    targets = np.eye(CLASSES, dtype=np.float32)[np.arange(batch) % CLASSES]
    stored = tf.data.Dataset.from_tensors((features, targets)).repeat()
    given = untuned(stored.map(lambda x, y: (tf.cast(x, tf.float32), y)).prefetch(4))
    ends: list[float] = []

    def note(step: int, logs: dict[str, float]) -> None:
        # Keras has read the step's loss for this call, so the device has finished the step.
        ends.append(time.monotonic())
        timed = ends[SKIPPED_STEPS - 1 :]
        model.stop_training = len(timed) > 1 and timed[-1] - timed[0] >= seconds

    clock = keras.callbacks.LambdaCallback(on_train_batch_end=note)
    with memory_errors(batch), in_training(backbone, head, cut, precision) as model:
        model.fit(given, steps_per_epoch=10**6, callbacks=[clock], shuffle=False, verbose=0)
    timed = ends[SKIPPED_STEPS - 1 :]
    return (len(timed) - 1) * batch / (timed[-1] - timed[0]), None


def list_measures(name: str, precisions: list[str], paths: list[str], arguments) -> list[Measure]:
    """Return the measures of a network; in each part, float32 comes first."""
    backbone, head, cut = build_parts(name, arguments.size)
    batch, seconds = arguments.batch, arguments.seconds
    return [
        *(("prefix", each, partial(time_prefix, backbone, head, cut, each, paths, seconds))
          for each in list_engines()),
        *(("suffix", each, partial(time_suffix, backbone, head, cut, each, batch, seconds))
          for each in precisions),
    ]  # fmt: skip


def measure_network(name: str, measures: list[Measure]) -> list[str]:
    """Print a row of the table for each measure, and return the rows."""
    from tfxfer.features.engines import describe_engine

    bases: dict[str, float | None] = {}
    rows: list[str] = []
    for part, arithmetic, measure in measures:
        label = arithmetic
        try:
            if part == "prefix":
                label = describe_engine(arithmetic) + ("" if bases else ", float32")
            figures = measure()
        except Exception as failure:  # A device may fail at one measure; the others still count.
            reason = shorten(first_line(failure), 120).replace("|", "/")
            rows.append(f"| {name} | {part} | {label} | – ({reason}) | – | – |")
            bases.setdefault(part, None)
        else:
            base = bases.setdefault(part, figures[0])
            rows.append(f"| {name} | {part} | {label} | {format_figures(*figures, base)} |")
        print(rows[-1], flush=True)
        gc.collect()  # This frees the device's memory.
    return rows


def format_figures(rate: float, waiting: float | None, base: float | None) -> str:
    """Return the cells of pictures a second, their ratio to float32's, and the share waited."""
    return " | ".join(
        (
            f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}",
            "–" if base is None else f"{rate / base:.2f}",
            "–" if waiting is None else f"{waiting:.0%}",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="photographs; default: drawn")
    parser.add_argument("--networks", nargs="+", default=DEFAULT, choices=NETWORKS, metavar="NAME")
    parser.add_argument("--size", type=int, default=224, help="of the pictures in px; default 224")
    parser.add_argument("--batch", type=int, default=32, help="of training; default 32")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a measurement; default 5")
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=MIXED,
        help="of training, beside float32; default: mixed_bfloat16, and mixed_float16 on no CPU",
    )
    tables.add_write(parser, "devices")
    arguments = parser.parse_args()
    runtime.import_tensorflow()
    from tfxfer.machine.devices import find_device

    device, versions = find_device(), runtime.list_versions()
    precisions = arguments.precisions or MIXED[-1 if device.kind == "cpu" else -2 :]
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or Path(folder)
        if arguments.data is None:
            draw_pictures(data)
        found = sorted(data.rglob("*"))
        paths = [str(path) for path in found if path.suffix.lower() in ENDINGS]
        if not paths:
            raise InputError(
                f"--data must be a folder with files that end in {', '.join(ENDINGS)}. "
                f"Received: {str(data)!r}, which has none. Name another folder, or none at all."
            )
        print(f"### {device.kind.upper()}: {device.name}, Keras on {versions.pop('backend')}\n")
        print(f"{arguments.size} px, training in batches of {arguments.batch}; "
              f"{', '.join(map(' '.join, versions.items()))}\n")  # fmt: skip
        print(HEADER)
        rows = [HEADER]
        for name in arguments.networks:
            measures = list_measures(name, ["float32", *precisions], paths, arguments)
            rows += measure_network(name, measures)
    cells = tables.read_rows("\n".join(rows))
    # The first cell of a row is its name in a document.
    tables.write(arguments.write, "devices", [[", ".join(row[:3]), *row[3:]] for row in cells])


if __name__ == "__main__":
    sys.exit(exit_code(main))
