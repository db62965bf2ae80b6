"""What every pair of a modality and a task can do: a run from files to a served model."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from support.cutting import compare_cuts
from support.examples import EXAMPLES, LABELS, Examples
from support.parts import train_parts

import tfxfer
from tfxfer.backbones.build import build_backbone
from tfxfer.commands.main import main
from tfxfer.config.presets import load_config
from tfxfer.kinds import MODALITIES, TASKS
from tfxfer.machine.processes import ALONE
from tfxfer.modality import InputSpec
from tfxfer.report.console import make_console
from tfxfer.training.job import load_items

pytestmark = pytest.mark.slow

PAIRS = [(modality, task) for modality in MODALITIES for task in TASKS]
COUNTS = {"train": 24, "val": 12, "test": 12}
# What the columns of a manifest are called is a setting, and so is what parts several labels.
SEPARATOR = {"classes": {}, "several": {"data.reading.label_separator": "|"}}


def write_manifest(examples: Examples, task: str, folder: Path) -> Path:
    """List items with their labels; an item is drawn in the colour of its first label."""
    rows = []
    for split, count in COUNTS.items():
        classes = examples.classes
        labels = TASKS[task].read(LABELS[task](count, len(classes))).list_numbers()
        for number, numbers in enumerate(labels):
            drawn = classes[numbers[0] if numbers else 0]
            file = examples.write(drawn, 100 * len(rows) + number, folder / split / f"{number}")
            rows.append((str(file), "|".join(classes[n] for n in numbers), split))
    manifest = folder / "list.csv"
    with manifest.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("path", "label", "split"))
        writer.writerows(rows)
    return manifest


def arguments(pair: tuple[str, str], data: Path, weights: Path, **settings: object) -> dict:
    modality, task = pair
    return {
        "data": data,
        "backbone": EXAMPLES[modality].network["backbone.name"],
        "weights": weights,
        "settings": {
            **{k: v for k, v in EXAMPLES[modality].network.items() if k != "backbone.name"},
            **SEPARATOR[task],
            "data.modality": modality,
            "data.batch_size": 8,
            "deterministic": True,
            "features.engine": "tensorflow",
            "head.levels": 1,
            "phases.head.epochs": 2,
            "phases.fine-tune.epochs": 2,
            "phases.fine-tune.precision": "float32",
            "phases.fine-tune.views": 2,
            "phases.fine-tune.unfreeze": 3,
            **settings,
        },
    }


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def pair(request) -> tuple[str, str]:
    return request.param


@pytest.fixture(scope="module")
def manifest(pair, tmp_path_factory) -> Path:
    return write_manifest(EXAMPLES[pair[0]], pair[1], tmp_path_factory.mktemp("items"))


@pytest.fixture(scope="module")
def finished(pair, manifest, weights_file, tmp_path_factory):
    """A run of the pair, and its folder."""
    out = tmp_path_factory.mktemp("runs") / "run"
    given = arguments(pair, manifest, weights_file)
    return tfxfer.train("photos", out=out, quiet=True, **given)


def test_a_run_says_what_it_did(finished):
    assert [phase.name for phase in finished.phases] == ["head", "fine-tune"]
    assert finished.validation.pictures == COUNTS["val"]
    assert finished.test.pictures == COUNTS["test"]
    assert 0 <= finished.test.accuracy <= 1
    metrics = json.loads((finished.path / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["test.accuracy"] == finished.test.accuracy
    assert all(np.isfinite(phase["val_cross_entropy"]) for phase in metrics["phases"])


def test_prefix_and_suffix_give_what_the_whole_network_gives(pair, manifest, weights_file):
    config = load_config("photos", **arguments(pair, manifest, weights_file))
    items = load_items(config, make_console(is_quiet=True), share=ALONE)
    backbone = build_backbone(config.backbone, items.modality)
    features = compare_cuts(backbone, (0, 1, 3, len(backbone.blocks) - 1))
    assert np.isfinite(features).all()


def test_the_same_run_comes_to_the_same(finished, pair, manifest, weights_file, tmp_path):
    config = load_config("photos", **arguments(pair, manifest, weights_file))
    again = train_parts(config, tmp_path)
    for before, after in zip(finished.phases, again.phases, strict=True):
        assert before.history == after.history
    assert dataclasses.asdict(finished.test) == dataclasses.asdict(again.test)


def test_the_export_gives_what_the_model_gives(finished, pair, manifest):
    assert finished.exported.max_difference < 1e-4
    model = tfxfer.load_model(finished.path)
    served = tf.saved_model.load(str(finished.path / "export" / "1")).signatures
    row, spec = MODALITIES[pair[0]], InputSpec.of(model)
    content = next(manifest.parent.glob("test/*")).read_bytes()
    view = row.plain_view(spec)(tf.constant(content))[tf.newaxis]
    wanted = model(view).numpy()
    for signature in row.signatures(spec):
        if signature.is_encoded and not signature.gives_embeddings:
            answer = served[signature.name](**{signature.spec.name: tf.constant([content])})
            np.testing.assert_allclose(answer["probabilities"].numpy(), wanted, atol=1e-4)


def test_predict_writes_a_row_an_item(finished, manifest, tmp_path):
    out = tmp_path / "rows.csv"
    items = sorted(map(str, (manifest.parent / "test").iterdir()))
    assert main(["predict", str(finished.path), *items, "--out", str(out)]) == 0
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == items
    assert not any(row["error"] for row in rows)
    (tmp_path / "none.bin").write_bytes(b"no item")
    (row,) = tfxfer.predict(finished.path, tmp_path / "none.bin")
    assert row.error


def test_evaluate_finds_the_figures_of_the_run_again(finished, pair, manifest):
    report = tfxfer.evaluate(
        finished.path, manifest, split="test", settings=SEPARATOR[pair[1]], quiet=True
    )
    assert report.evaluation.accuracy == finished.test.accuracy


def test_bad_items_are_named_before_anything_is_trained(pair, manifest, weights_file, tmp_path):
    broken = tmp_path / "list.csv"
    content = manifest.read_text(encoding="utf-8").splitlines()
    bad = tmp_path / f"bad{Path(content[1].split(',')[0]).suffix}"
    bad.write_bytes(next(iter(EXAMPLES[pair[0]].faults.values())))
    _, label, split = content[1].split(",")
    broken.write_text("\n".join([*content, f"{bad},{label},{split}"]), encoding="utf-8")
    given = arguments(pair, broken, weights_file)
    with pytest.raises(tfxfer.InputError, match=rf"Received: 1 of .*(?s:.)*{bad.name}"):
        tfxfer.train("photos", out=tmp_path / "run", quiet=True, **given)
    assert not (tmp_path / "run").exists()
