"""The main path: pictures → backbone → phases → one look at the test split → export."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from tfxfer import run, runtime
from tfxfer.backbones.build import Backbone, build_backbone
from tfxfer.config import Config
from tfxfer.data.pictures import PictureData
from tfxfer.data.pipeline import make_evaluation_dataset, make_training_dataset
from tfxfer.data.sources import load_data
from tfxfer.evaluation import evaluate
from tfxfer.export.saved_model import export_saved_model
from tfxfer.heads import Head, build_head, build_model
from tfxfer.phases.estimate import check_memory, plan_phase
from tfxfer.phases.fit import FitData, fit_phase, memory_errors
from tfxfer.records import PhaseResult, Plan, RunResult
from tfxfer.report.console import print_phase, print_plan, print_result


@dataclass(frozen=True)
class Job:
    """What a config stands for once pictures and network are loaded."""

    pictures: PictureData
    backbone: Backbone
    head: Head
    data: FitData
    test: tf.data.Dataset


def run_training(
    config: Config, folder: Path, console: Console, overwrite: bool = False
) -> RunResult:
    """Train, evaluate, export, and put the run folder in its place when all is done.

    The validation split chooses the epochs; the test split is read once, at the end.

    Raises:
        InputError: the config cannot be carried out on its pictures; no folder is left then.
        ExportMismatchError: the exported model differs from the trained one.
    """
    started = time.monotonic()
    phases: list[PhaseResult] = []
    with run.staged(folder, overwrite) as staging, memory_errors(config.data.batch_size):
        run.write_config(staging, config)
        job = prepare(config, console)
        plan = make_plan(config, job)
        print_plan(console, plan, with_blocks=False)
        logs = staging / run.TENSORBOARD
        for phase in config.phases:
            previous = phases[-1] if phases else None
            phases.append(
                fit_phase(job.backbone, job.head, phase, job.data, previous, logs, console)
            )
            print_phase(console, phases[-1])
        model = build_model(job.backbone, job.head)
        model.save(staging / run.MODEL)
        pictures, classes = job.pictures, job.pictures.classes
        with console.status("Evaluating and exporting"):
            validation = evaluate(
                model, "validation", job.data.validation, pictures.validation.labels, classes
            )
            test = evaluate(model, "test", job.test, pictures.test.labels, classes)
            exported = export_saved_model(model, classes, staging / run.EXPORT, pictures.validation)
        result = RunResult(
            path=folder,
            classes=classes,
            plan=plan,
            phases=tuple(phases),
            validation=validation,
            test=test,
            exported=replace(exported, path=folder / run.EXPORT),
            total_parameters=model.count_params(),
            seed=config.seed,
            seconds=time.monotonic() - started,
            versions=runtime.list_versions(),
            device=runtime.describe_device(),
            quarantined=pictures.quarantined,
        )
        run.write_result(staging, result)
    print_result(console, result)
    return result


def prepare(config: Config, console: Console) -> Job:
    """Load the pictures and build the network, its head and the datasets."""
    with console.status("Reading and checking the pictures"):
        pictures = load_data(config.data, config.seed)
    # Not earlier: preparing a data set draws random numbers as well.
    keras.utils.set_random_seed(config.seed)
    with console.status("Building the network"):
        backbone = build_backbone(config.backbone)
    class_count = len(pictures.classes)
    head = build_head(config.head, class_count, config.seed)
    batch_size = min(config.data.batch_size, len(pictures.train.labels))
    size_px = backbone.size_px
    data = FitData(
        training=make_training_dataset(
            pictures.train, class_count, size_px, batch_size, config.augmentation, config.seed
        ),
        validation=make_evaluation_dataset(pictures.validation, class_count, size_px, batch_size),
        steps_per_epoch=max(1, len(pictures.train.labels) // batch_size),
        batch_size=batch_size,
    )
    test = make_evaluation_dataset(pictures.test, class_count, size_px, batch_size)
    return Job(pictures, backbone, head, data, test)


def make_plan(config: Config, job: Job, is_timed: bool = False) -> Plan:
    """Say what the run will do, and refuse what cannot be done, before anything is written.

    Timing runs a few training steps: the job is of no other use afterwards.

    Raises:
        InputError: a phase does not fit the backbone, or a batch does not fit in memory.
    """
    pictures, backbone = job.pictures, job.backbone
    phases = tuple(
        plan_phase(backbone, job.head, phase, job.data, len(pictures.validation.labels), is_timed)
        for phase in config.phases
    )
    available = runtime.available_memory_bytes()
    for phase in phases:
        if available is not None:
            check_memory(backbone, len(phase.unfrozen), job.data.batch_size, available)
    splits = {"train": pictures.train, "validation": pictures.validation, "test": pictures.test}
    counts = np.bincount(pictures.train.labels, minlength=len(pictures.classes))
    return Plan(
        source=pictures.source,
        counts={name: len(split.labels) for name, split in splits.items()},
        class_counts=dict(zip(pictures.classes, map(int, counts), strict=True)),
        backbone=_describe(config),
        weights=config.backbone.weights,
        image_size_px=backbone.size_px,
        parameters=backbone.network.count_params(),
        blocks=tuple((block.name, block.parameters) for block in backbone.blocks),
        phases=phases,
        notes=(*pictures.notes, *_warnings(config)),
    )


def dry_run(config: Config, console: Console) -> Plan:
    """Print the plan with a timed estimate; train and write nothing."""
    with memory_errors(config.data.batch_size):
        job = prepare(config, console)
        with console.status("Timing a few steps"):
            plan = make_plan(config, job, is_timed=True)
    print_plan(console, plan, with_blocks=True)
    return plan


def _describe(config: Config) -> str:
    alpha = config.backbone.alpha
    return config.backbone.name if alpha is None else f"{config.backbone.name} (alpha {alpha:g})"


def _warnings(config: Config) -> list[str]:
    warnings = []
    is_embedded_data = str(config.data.source).startswith("embedded:")
    if config.backbone.weights == "embedded" and not is_embedded_data:
        warnings.append(
            "the embedded weights were trained on drawn birds and know nothing of photographs; "
            "expect a poor model. Use --backbone EfficientNetV2B0 (ImageNet weights) instead"
        )
    if config.backbone.weights == "none":
        warnings.append("no pretrained weights: every phase trains the whole network")
    return warnings
