"""Tests of pictures with several labels, or none, in all parts of a run."""

from __future__ import annotations

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from rich.console import Console
from support.small import run_model

from tfxfer.backbones.whole import build_model
from tfxfer.config.config import Config
from tfxfer.config.head import HeadConfig
from tfxfer.data.items import FileSet, ItemData
from tfxfer.data.pipeline import make_evaluation_dataset
from tfxfer.errors import InputError
from tfxfer.export.saved_model import export_saved_model
from tfxfer.features.batches import Batching
from tfxfer.features.feed import make_phase_data
from tfxfer.features.mixing import draw_seeds, mix_batches
from tfxfer.kinds import MODALITIES, TASKS
from tfxfer.machine.processes import ALONE
from tfxfer.modalities.pictures.view import plain_view
from tfxfer.phases.keep_best import standard_error
from tfxfer.phases.parts import Watch
from tfxfer.records.results import RunResult
from tfxfer.report.console import print_phase, print_plan, print_result
from tfxfer.run import metrics_of
from tfxfer.tasks.labels import SeveralLabels
from tfxfer.tasks.metrics import mean_average_precision
from tfxfer.tasks.objective import SeveralObjective
from tfxfer.training.job import make_job
from tfxfer.training.phase import Turn, train_phase
from tfxfer.training.plan import make_plan

pytestmark = pytest.mark.slow

QUIET = Console(quiet=True)
CLASSES = ("red", "green", "blue")
SEVERAL = SeveralObjective()


def write_split(folder, count: int, seed: int) -> FileSet:
    """Write pictures in which each channel is bright or dark; each bright channel is a label."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, (count, 3)).astype(np.int8)
    paths = []
    for index, row in enumerate(labels):
        pixels = 40 + 150.0 * row + generator.normal(0, 5, (32, 32, 3))
        paths.append(str(folder / f"{index:03d}.png"))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1])
    return FileSet(tuple(paths), SeveralLabels(labels))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> ItemData:
    """A data set with 48 training, 24 validation and 16 test pictures."""
    root = tmp_path_factory.mktemp("several")
    splits = {"train": 48, "validation": 24, "test": 16}
    sets = {
        name: write_split(root / name, count, seed)
        for seed, (name, count) in enumerate(splits.items())
    }
    return ItemData(
        "pictures of channels", CLASSES, TASKS["several"], **sets, modality=MODALITIES["pictures"]
    )


@pytest.fixture
def make_config(weights_file, tmp_path):
    """A function that gives a config with a head phase and a phase that fine-tunes."""

    def make(**fine_tune) -> Config:
        network = {"name": "TinyNet", "image_size_px": 32}
        rest = {"precision": "float32", **fine_tune}
        return Config.model_validate(
            {
                "data": {"batch_size": 8},
                "backbone": {**network, "weights": str(weights_file)},
                "features": {"engine": "tensorflow", "cache_dir": str(tmp_path / "cache")},
                "phases": [
                    {"name": "head", "epochs": 12, "learning_rate": 0.02},
                    {"name": "top", "epochs": 1, "unfreeze": 3, "learning_rate": 1e-3} | rest,
                ],
            }
        )

    return make


def test_a_head_for_several_labels_gives_probabilities_of_their_own(small_backbone):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        head = TASKS["several"].build_head(HeadConfig(), 3, seed=0)
        rows = build_model(small_backbone, head)(np.zeros((2, 32, 32, 3)))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert head.layers[-1].activation is keras.activations.sigmoid
    assert rows.dtype == tf.float32
    assert np.abs(rows.numpy().sum(axis=1) - 1).min() > 1e-3


def test_the_loss_is_binary_cross_entropy_and_a_picture_is_right_when_all_its_labels_are():
    targets = np.array([[1, 0, 1], [0, 0, 0]], np.float32)
    given = np.array([[0.9, 0.2, 0.7], [0.1, 0.6, 0.2]], np.float32)

    def entropy(wanted):
        return -(wanted * np.log(given) + (1 - wanted) * np.log(1 - given)).mean()

    assert float(SEVERAL.make_loss(0.0)(targets, given)) == pytest.approx(entropy(targets), 1e-4)
    smooth = 0.8 * targets + 0.1
    assert float(SEVERAL.make_loss(0.2)(targets, given)) == pytest.approx(entropy(smooth), 1e-4)
    accuracy, cross_entropy = SEVERAL.make_metrics()
    accuracy.update_state(targets, given)
    cross_entropy.update_state(targets, given)
    assert float(accuracy.result()) == 0.5
    assert float(cross_entropy.result()) == pytest.approx(entropy(targets), 1e-4)


def test_mixing_blends_rows_of_labels():
    rows = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 0]], np.float32)
    examples = np.arange(4, dtype=np.float32)[:, None] * np.ones((4, 2), np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((examples, rows)).batch(4)
    ((mixed, targets),) = mix_batches(dataset, mixup=0.5, cutmix=0, seeds=draw_seeds(0, 1))
    share = 1 - float(mixed[0, 0]) / 3
    assert 0.5 <= share < 1
    np.testing.assert_allclose(targets[0], share * rows[0] + (1 - share) * rows[3], atol=1e-6)


def run_phases(job, tmp_path) -> list:
    results = []
    for position in range(len(job.phases)):
        results.append(train_phase(Turn(job, position, results, Watch(tmp_path / "logs", QUIET))))
    return results


def test_a_run_s_parts_take_several_labels_from_stored_features_to_the_export(
    make_config, pictures, tmp_path
):
    config = make_config(mixup=0.1)
    job = make_job(config, pictures, QUIET, share=ALONE)
    plan = make_plan(config, job)
    assert [phase.solver for phase in plan.phases] == ["adamw", "adamw"]
    assert plan.class_counts == dict(
        zip(CLASSES, map(int, pictures.train.labels.rows.sum(axis=0)), strict=True)
    )
    results = run_phases(job, tmp_path)
    head, top = results
    assert head.chosen_by == top.chosen_by == "mean_average_precision"
    assert head.val_score == head.val_mean_average_precision > 0.85
    assert head.val_macro_recall is None
    scores = head.history["val_mean_average_precision"]
    assert scores[head.best_epoch - 1] == head.val_score
    floor = max(scores) - 0.5 * standard_error(max(scores), len(pictures.validation.labels))
    assert [n for n, score in enumerate(scores, 1) if score >= floor][-1] == head.best_epoch
    assert top.val_score >= head.val_score
    model = build_model(job.backbone, job.head)
    validation, test = (
        TASKS["several"].evaluate(
            name,
            split.labels,
            run_model(model, np.concatenate([x for x, _ in views(split)])),
            CLASSES,
        )
        for name, split in (("validation", pictures.validation), ("test", pictures.test))
    )
    assert validation.mean_average_precision == pytest.approx(top.val_score, abs=0.02)
    assert validation.accuracy == pytest.approx(top.val_accuracy, abs=0.1)
    assert test.mean_average_precision > 0.75
    assert set(test.per_class_f1) == set(CLASSES)
    exported = export_saved_model(model, CLASSES, tmp_path / "export" / "1", pictures.validation)
    assert exported.max_difference < 1e-4
    check_words(plan, results, validation, test, exported)


def views(split):
    dataset = make_evaluation_dataset(split, plain_view(32), class_count=3, batch_size=8)
    return dataset.as_numpy_iterator()


def check_words(plan, results, validation, test, exported) -> None:
    """Check that texts for people and files for programs name the metrics correctly."""
    result = RunResult(
        path=exported.path, classes=CLASSES, plan=plan, phases=tuple(results),
        validation=validation, test=test, exported=exported, total_parameters=1, engine=None,
        seed=0, seconds=1.0, versions={}, device="", quarantined=(),
    )  # fmt: skip
    console = Console(record=True, width=140, file=io.StringIO())
    print_plan(console, plan, with_blocks=True)
    print_phase(console, results[0])
    print_result(console, result)
    text = console.export_text()
    for words in ("validation mAP", "mAP", "macro F1", "micro F1", "all labels right"):
        assert words in text
    assert "macro recall" not in text and "top-5" not in text
    metrics = metrics_of(result)
    assert metrics["test.mean_average_precision"] == test.mean_average_precision
    assert metrics["test.micro_f1"] == test.micro_f1
    assert "test.confusion" not in metrics
    assert metrics["phases"][0]["chosen_by"] == "mean_average_precision"


def test_a_dry_run_times_several_labels_from_random_weights_too(make_config, pictures):
    whole = {"unfreeze": "all", "batch_norm": "train", "views": "stream"}
    config = make_config(**whole)
    random = config.backbone.model_copy(update={"weights": "none"})
    config = config.model_copy(update={"phases": config.phases[1:], "backbone": random})
    plan = make_plan(config, make_job(config, pictures, QUIET, share=ALONE), is_timed=True)
    assert [(phase.cut, phase.solver) for phase in plan.phases] == [("pictures", "adamw")]
    assert plan.phases[0].seconds > 0


def test_a_streamed_phase_gives_rows(make_config, pictures):
    job = make_job(make_config(views="stream"), pictures, QUIET, share=ALONE)
    data = make_phase_data(job.features, pictures, phases=job.phases[1:], batching=Batching(8))
    features, rows = next(iter(data.make_training()))
    assert features.shape[1:] == data.cut.shape
    assert rows.shape == (8, 3) and set(np.unique(rows)) == {0, 1}


def test_logistic_regression_refuses_several_labels_before_anything_is_done(make_config, pictures):
    config = make_config()
    asked = config.phases[0].model_copy(update={"solver": "logistic"})
    asked_config = config.model_copy(update={"phases": (asked,)})
    with pytest.raises(InputError, match=r"fits one label a picture.*phase 'head'"):
        make_plan(asked_config, make_job(asked_config, pictures, QUIET, share=ALONE))
    table = asked_config.model_dump()
    table["data"]["reading"]["label_separator"] = ";"
    with pytest.raises(ValueError, match="label_separator=';', solver='logistic'"):
        Config.model_validate(table)


def test_average_precision_orders_pictures_by_label():
    labels = SeveralLabels(np.array([[1, 0], [0, 0], [1, 0]], np.int8))
    rows = np.array([[0.2, 0.9], [0.1, 0.5], [0.3, 0.1]])
    assert mean_average_precision(labels, rows) == 1.0, "the label that occurs is ranked well"
