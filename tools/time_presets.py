"""Estimate how long the presets that download their data take on this machine.

    python tools/time_presets.py

The tool times a few steps of each phase on drawn JPEG pictures of 500 x 375 px with random weights,
and multiplies the times up to the size of the data set. Early stopping may end a phase sooner.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tables
from PIL import Image

from tfxfer.config.presets import load_config
from tfxfer.kinds import MODALITIES, TASKS
from tfxfer.machine import runtime

# The numbers of training and validation pictures, after missing splits are made, and of classes.
DATA = {
    "birds-cub200": (5095, 899, 200),
    "flowers": (1020, 1020, 102),
    "pets": (3128, 552, 37),
    "cats-dogs": (16284, 3489, 2),
    "eurosat": (18900, 4050, 10),
    "malaria": (19290, 4134, 2),
}
DRAWN = 256
HEADER = ("preset", "pictures", "network", "phases (blocks unfrozen)", "at most, on 2 CPU cores")


def draw_pictures(folder: Path) -> tuple[str, ...]:
    """Write smooth random JPEG pictures."""
    generator = np.random.default_rng(0)
    paths = [folder / f"{index}.jpg" for index in range(DRAWN)]
    for path in paths:
        small = generator.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC).save(path)
    return tuple(map(str, paths))


def estimate_seconds(preset: str, paths: tuple[str, ...]) -> list[float]:
    """Return the estimated seconds of each phase of a preset."""
    from tfxfer.data.items import FileSet, ItemData
    from tfxfer.features.run import make_feature_run
    from tfxfer.machine.processes import ALONE
    from tfxfer.modalities.pictures.networks.applications import build_network, wrap_network
    from tfxfer.modalities.pictures.networks.families import NETWORKS
    from tfxfer.phases.schedules import resolve_phase
    from tfxfer.report.console import make_console
    from tfxfer.training.estimate import Before, plan_phase
    from tfxfer.training.job import Job

    config = load_config(preset)
    train, validation, classes = DATA[preset]
    family = NETWORKS[config.backbone.name]
    size_px = config.backbone.image_size_px or family.sizes_px[config.backbone.name]
    network = build_network(config.backbone.name, size_px, config.backbone.alpha)
    backbone = wrap_network(network, family, size_px)
    task = TASKS["classes"]
    head = task.build_head(config.head, classes, seed=config.seed)
    features = make_feature_run(backbone, head, config=config.features, seed=0, share=ALONE,
                                augmentation=config.augmentation,
                                modality=MODALITIES["pictures"],
                                console=make_console(is_quiet=True))  # fmt: skip

    def repeat(count: int) -> FileSet:
        chosen = np.arange(count) % len(paths)
        return FileSet(tuple(paths[i] for i in chosen), task.read(np.arange(count) % classes))

    names = tuple(map(str, range(classes)))
    sets = (repeat(train), repeat(validation), repeat(1))
    pictures = ItemData("drawn", names, task, *sets, MODALITIES["pictures"])
    blocks = backbone.blocks
    phases = tuple(resolve_phase(phase, train, blocks=blocks) for phase in config.phases)
    objective = task.make_objective(pictures.train.labels, classes)
    job = Job(pictures, features, head, phases, config.data.batch_size, objective)
    seconds: list[float] = []
    for position in range(len(phases)):
        before = Before(views=min(position, 1))
        plan = plan_phase(job, position, before=before, is_timed=True)
        seconds.append(plan.seconds or 0.0)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    tables.add_write(parser, "presets")
    arguments = parser.parse_args()
    rows = [list(HEADER)]
    runtime.import_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        paths = draw_pictures(Path(folder))
        for preset in DATA:
            seconds = estimate_seconds(preset, paths)
            parts = ", ".join(f"{value / 60:.0f}" for value in seconds)
            rows.append(list_cells(preset, sum(seconds)))
            print(f"{preset:14} {sum(seconds) / 60:5.0f} min  (phases: {parts})", flush=True)

    tables.write(arguments.write, "presets", rows)


def list_cells(preset: str, seconds: float) -> list[str]:
    """Return the cells of a preset in the table of a document."""
    config = load_config(preset)
    size_px = config.backbone.image_size_px
    network = config.backbone.name + (f", {size_px} px" if size_px else "")
    depths = ", ".join(str(phase.unfreeze or "head") for phase in config.phases)
    return [f"`{preset}`", config.summary, network, depths, f"{seconds / 60:.0f} min"]


if __name__ == "__main__":
    main()
