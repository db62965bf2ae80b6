"""Parts of a run: one without its checkpoint and export, and the last look at a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from tfxfer import run
from tfxfer.backbones.whole import build_model
from tfxfer.config.config import Config
from tfxfer.config.presets import load_config
from tfxfer.data.items import ItemData
from tfxfer.evaluation.final import calibrate, judge, predict_items
from tfxfer.export.served_network import serve_network
from tfxfer.machine import runtime
from tfxfer.machine.compiled import compile_model
from tfxfer.machine.processes import ALONE, Share
from tfxfer.modality import InputSpec
from tfxfer.records.evaluations import Calibration, Evaluation
from tfxfer.records.exports import Exported
from tfxfer.records.results import RunResult
from tfxfer.training.job import choose_devices, prepare
from tfxfer.training.phase import train_phases
from tfxfer.training.plan import make_plan
from tfxfer.training.resume.keeper import Keeper


def head_arguments(weights_file: Path, **settings: object) -> dict[str, Any]:
    """Return arguments of `tfxfer.load_config` for a run whose only phase fits a head.

    Args:
        weights_file: The weights of the tiny network.
        settings: Other values by key, in which ``__`` stands for the dot.
    """
    chosen = {
        "backbone.image_size_px": 32,
        "data.batch_size": 8,
        "features.engine": "tensorflow",
        "head.levels": 1,
        "phases": [{"name": "head", "learning_rate": 1e-3}],
        **{key.replace("__", "."): value for key, value in settings.items()},
    }
    return {"backbone": "TinyNet", "weights": weights_file, "settings": chosen}


def head_config(data: Path, weights_file: Path, **settings: object) -> Config:
    """Return the config of such a run on a folder of pictures."""
    return load_config("photos", data=data, **head_arguments(weights_file, **settings))


def train_parts(config: Config, folder: Path) -> RunResult:
    """Train and evaluate by the functions of a run, and write its folder without an export."""
    share = choose_devices(config)
    job = prepare(config, Console(quiet=True), share=share)
    plan = make_plan(config, job)
    model = build_model(job.backbone, job.head)
    keeper = Keeper(None, job.features, 0.0)
    told: list[np.ndarray] = []
    phases = train_phases(job, model, keeper=keeper, staging=folder, tell=told.append)
    calibrated = calibrate(model, job.items, told[-1], config.calibrate)
    validation, test, calibration = judge(
        serve_network(model).call, InputSpec.of(model), job.items, calibrated, share=share
    )
    result = RunResult(
        path=folder,
        classes=job.items.classes,
        plan=plan,
        phases=phases,
        validation=validation,
        test=test,
        exported=Exported(folder / run.EXPORT, 0, 0.0),
        total_parameters=model.count_params(),
        engine=job.features.recorder.engine_name,
        seed=config.seed,
        seconds=0.0,
        versions=runtime.list_versions(),
        device=runtime.describe_device(),
        quarantined=job.items.quarantined,
        calibration=calibration,
    )
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / run.MODEL)
    run.write_config(folder, config)
    run.write_result(folder, result)
    return result


def judge_model(
    model: keras.Model, items: ItemData, calibrates: bool = True, share: Share = ALONE
) -> tuple[Evaluation, Evaluation, Calibration | None]:
    """Calibrate and evaluate a model, which predicts the items of both splits as a server does."""
    spec, call = InputSpec.of(model), compile_model(model)
    given = predict_items(call, spec, items.validation, share=share, modality=items.modality)
    calibrated = calibrate(model, items, given, calibrates)
    return judge(call, spec, items, calibrated, share=share)
