"""Tests of distillation, in which a small network learns from a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.parts import head_config, train_parts

import tfxfer
from tfxfer.cache.folder import locate
from tfxfer.commands.distill import make_student_config
from tfxfer.config.data import DataConfig
from tfxfer.config.presets import load_config
from tfxfer.data.pipeline import make_training_dataset
from tfxfer.data.soft_targets import SoftSet
from tfxfer.errors import InputError
from tfxfer.machine.processes import ALONE
from tfxfer.modalities.pictures.settings import AugmentationConfig
from tfxfer.modalities.pictures.view import augmented_view
from tfxfer.report.console import make_console
from tfxfer.tasks.labels import ClassLabels
from tfxfer.training.job import prepare
from tfxfer.training.load import load_data
from tfxfer.training.plan import make_plan
from tfxfer.training.teacher import add_teacher, find_logits

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def teacher(weights_file, picture_folder, tmp_path_factory):
    """A run on pictures of three colours, whose probabilities are not calibrated."""
    folder = tmp_path_factory.mktemp("teacher") / "run"
    return train_parts(head_config(picture_folder, weights_file, calibrate=False), folder)


def test_targets_mix_the_teacher_and_the_label():
    logits = np.array([[2.0, 0.0, 0.0], [0.0, 4.0, 2.0]])
    labels = ClassLabels(np.array([0, 2]))
    targets = labels.soften(logits, temperature=2.0, weight=0.75).rows
    e = np.exp(1.0)
    expected = [
        [0.25 + 0.75 * e / (e + 2), 0.75 / (e + 2), 0.75 / (e + 2)],
        [0.75 / (1 + e**2 + e), 0.75 * e**2 / (1 + e**2 + e), 0.25 + 0.75 * e / (1 + e**2 + e)],
    ]
    np.testing.assert_allclose(targets, expected, rtol=1e-5)
    assert targets.dtype == np.float32


def test_targets_go_with_their_pictures(picture_folder, own_cache, teacher):
    data = load_data(DataConfig(source=str(picture_folder)), seed=0)
    config = load_config("photos", data=picture_folder, settings={
        "distillation": {"teacher": str(teacher.path), "weight": 1.0, "temperature": 1.0},
    })  # fmt: skip
    softened = add_teacher(data, config, make_console(is_quiet=True))
    assert isinstance(softened.train, SoftSet)
    assert softened.task is data.task
    np.testing.assert_array_equal(softened.train.labels.numbers, data.train.labels.numbers)
    model = tfxfer.load_model(teacher.path)
    dataset = make_training_dataset(
        softened.train,
        augmented_view(32, AugmentationConfig(policy="none")),
        class_count=3,
        batch_size=6,
        seed=1,
    )
    for pictures, targets in dataset:
        said = model.predict_on_batch(pictures)
        np.testing.assert_allclose(said, targets, atol=2e-4)
    # The logits are stored by the model's content, so that a changed model is asked again.
    place = locate(None)
    console = make_console(is_quiet=True)
    data = replace(data, source="x")
    first = find_logits(model, data, place, console)
    stored = sorted(own_cache.rglob("*"))
    np.testing.assert_array_equal(first, find_logits(model, data, place, console))
    assert sorted(own_cache.rglob("*")) == stored
    model.get_layer("probabilities").set_weights(
        [0 * weight for weight in model.get_layer("probabilities").get_weights()]
    )
    flat = find_logits(model, data, place, console)
    np.testing.assert_allclose(flat, np.log(1 / 3), atol=1e-5)
    assert add_teacher(softened, config, console) is softened


def test_a_student_learns_and_is_compared(teacher, weights_file, tmp_path, capsys):
    result = tfxfer.distill(
        teacher.path,
        "TinyNet",
        weights=weights_file,
        settings={
            "backbone.image_size_px": 32,
            "features.engine": "tensorflow",
            "phases.head.solver": "adamw",
            "phases.head.epochs": 6,
            "phases.head.learning_rate": 0.02,
            "phases.distil.epochs": 1,
            "phases.distil.precision": "float32",
        },
        out=tmp_path / "student",
    )
    assert result.test.accuracy > 0.8
    assert result.phases[-1].name == "distil"
    assert any("the teacher run has 70% of the say" in note for note in result.plan.notes)
    # The teacher's setting of calibration holds for its student.
    assert teacher.calibration is None
    assert result.calibration is None
    printed = capsys.readouterr().out
    assert "teacher" in printed and "student" in printed and "test accuracy" in printed
    # Its config names the teacher, so that the run can be replayed.
    config = load_config(tmp_path / "student" / "config.toml")
    assert config.distillation.teacher == str(teacher.path)
    plan = make_plan(config, prepare(config, make_console(is_quiet=True), share=ALONE))
    assert any("the teacher run has 70% of the say" in note for note in plan.notes)


def test_what_cannot_be_taught_is_refused(teacher, picture_folder, own_folder, tmp_path):
    with pytest.raises(InputError, match="A teacher is a run's folder"):
        tfxfer.distill(tmp_path, "MobileNet", quiet=True)
    with pytest.raises(InputError, match="A teacher's say comes in place of balanced classes"):
        tfxfer.distill(teacher.path, "MobileNet", settings={"data.balance": "sampling"}, quiet=True)
    with pytest.raises(InputError, match="temperature"):
        tfxfer.distill(teacher.path, "MobileNet", temperature=0.5, quiet=True)
    (own_folder / "green").rename(own_folder / "grass")
    with pytest.raises(InputError, match="of the run's classes: amber, blue, green"):
        tfxfer.distill(teacher.path, "MobileNet", data=own_folder, out=tmp_path / "s", quiet=True)
    assert not (tmp_path / "s").exists()
    config = make_student_config(
        teacher.path, "MobileNetV3Small", "none", temperature=2.0, weight=0.7, trust=False
    )
    assert config.phases[0].batch_norm == "train"
