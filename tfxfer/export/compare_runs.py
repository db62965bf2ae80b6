"""The models of several runs side by side: their costs on this machine, and their accuracies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfxfer import run
from tfxfer.config.presets import load_config
from tfxfer.export.measure import measure_bytes, time_calls
from tfxfer.prediction.load import load_predictor
from tfxfer.records.exports import ExportedFormat, RunFigures


def compare_runs(folders: Mapping[str, Path], trust: bool = False) -> tuple[RunFigures, ...]:
    """Read the figures of some runs, and time their models on noise.

    Args:
        folders: The run folders by their names in the table.
        trust: Load models that hold a program, as in `tfxfer.load_model`.
    """
    rows = []
    for name, folder in folders.items():
        metrics = json.loads((folder / run.METRICS).read_text(encoding="utf-8"))
        config = load_config(folder / run.CONFIG)
        predictor = load_predictor(folder, trust=trust)
        shape = tuple(side or 0 for side in predictor.input.shape) if predictor.input else ()
        noise = np.random.default_rng(0).uniform(0, 255, (ExportedFormat.BATCH, *shape))
        batch = noise.astype(np.float32)
        saved = folder / run.EXPORT
        rows.append(
            RunFigures(
                name=name,
                network=f"{config.backbone.name}, {shape[0]} px",
                parameters=metrics["parameters"]["total"],
                size_bytes=measure_bytes(saved) if saved.is_dir() else 0,
                latency_ms=(time_calls(predictor, batch[:1]), time_calls(predictor, batch)),
                validation_accuracy=metrics["val.accuracy"],
                test_accuracy=metrics["test.accuracy"],
            )
        )
    return tuple(rows)
