"""Tests of calibration, which makes probabilities agree with the shares that are right."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit, softmax
from support.parts import head_config
from support.small import run_model

import tfxfer
from tfxfer.backbones.whole import fold_temperature
from tfxfer.config.data import DataConfig
from tfxfer.config.head import HeadConfig
from tfxfer.data.pipeline import make_evaluation_dataset
from tfxfer.modalities.pictures.view import plain_view
from tfxfer.report.console import make_console
from tfxfer.tasks.calibration import (
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
)
from tfxfer.tasks.outputs import SIGMOID, SOFTMAX
from tfxfer.training.load import load_data
from tfxfer.training.train import run_training


def draw(count: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Return labels drawn from true probabilities, and logits that are wrong by a factor."""
    generator = np.random.default_rng(3)
    logits = 2 * generator.normal(size=(count, 4))
    labels = np.array([generator.choice(4, p=softmax(row)) for row in logits])
    return labels, softmax(logits * temperature, axis=1).astype(np.float32)


@pytest.mark.parametrize("off", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found(off):
    labels, probabilities = draw(4000, off)
    temperature = fit_temperature(labels, probabilities, SOFTMAX)
    assert temperature == pytest.approx(off, rel=0.08)
    calibrated = apply_temperature(probabilities, temperature, SOFTMAX)
    assert expected_calibration_error(labels, calibrated, SOFTMAX) < 0.03
    np.testing.assert_allclose(calibrated.sum(axis=1), 1, atol=1e-5)
    assert (calibrated.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    back = apply_temperature(calibrated, 1 / temperature, SOFTMAX)
    np.testing.assert_allclose(back, probabilities, atol=1e-4)


def test_several_labels_have_a_temperature_too():
    generator = np.random.default_rng(5)
    logits = 2 * generator.normal(size=(3000, 5))
    labels = (generator.uniform(size=logits.shape) < expit(logits)).astype(np.int8)
    probabilities = expit(2.5 * logits).astype(np.float32)
    temperature = fit_temperature(labels, probabilities, SIGMOID)
    assert temperature == pytest.approx(2.5, rel=0.08)
    calibrated = apply_temperature(probabilities, temperature, SIGMOID)
    assert ((calibrated >= 0.5) == (probabilities >= 0.5)).all()


def test_a_model_that_is_always_right_on_few_pictures_stays_unsure():
    labels = np.arange(9) % 3
    probabilities = np.full((9, 3), 0.1, np.float32)
    probabilities[np.arange(9), labels] = 0.8
    temperature = fit_temperature(labels, probabilities, SOFTMAX)
    sure = apply_temperature(probabilities, temperature, SOFTMAX).max()
    assert 0.8 < sure < 0.99
    many = fit_temperature(np.tile(labels, 500), np.tile(probabilities, (500, 1)), SOFTMAX)
    assert many < 0.6 * temperature


def test_the_temperature_stands_in_the_weights(small_backbone):
    model = tfxfer.build_model(small_backbone, tfxfer.build_head(HeadConfig(), 3, seed=0))
    pictures = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3))
    before = run_model(model, pictures)
    fold_temperature(model, 2.0)
    after = run_model(model, pictures)
    np.testing.assert_allclose(after, apply_temperature(before, 2.0, SOFTMAX), atol=1e-5)


@pytest.mark.slow
def test_a_run_is_calibrated_and_says_so(weights_file, picture_folder, tmp_path, capsys):
    config = head_config(picture_folder, weights_file)
    result = run_training(config, tmp_path / "run", make_console(is_quiet=False))
    calibration = result.calibration
    printed = capsys.readouterr().out
    assert f"calibrated by temperature {calibration.temperature:.2f}" in printed
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["calibration"]["temperature"] == calibration.temperature
    assert metrics["calibration"]["test"] == list(calibration.test)
    # The saved model is the measured one; its logits are the trained ones over the temperature.
    model = tfxfer.load_model(tmp_path / "run")
    data = load_data(DataConfig(source=str(picture_folder)), seed=0)
    task, test = data.task, data.test
    probabilities = model.predict(
        make_evaluation_dataset(test, plain_view(32), class_count=3, batch_size=8), verbose=0
    )
    error = task.calibration_error(test.labels, probabilities)
    assert error == pytest.approx(calibration.test[1], abs=1e-4)
    before = apply_temperature(probabilities, 1 / calibration.temperature, SOFTMAX)
    error = task.calibration_error(test.labels, before)
    assert error == pytest.approx(calibration.test[0], abs=1e-4)
