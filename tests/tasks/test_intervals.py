"""Tests of bootstrap intervals against single resamples, and of calibration errors by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
)

from tfxfer.tasks.calibration import expected_calibration_error
from tfxfer.tasks.intervals import class_intervals, several_intervals
from tfxfer.tasks.labels import ClassLabels, SeveralLabels
from tfxfer.tasks.outputs import SIGMOID, SOFTMAX

pytestmark = pytest.mark.slow


def sample(count, class_count, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, class_count, count)
    scores = generator.normal(size=(count, class_count)) + 2 * np.eye(class_count)[labels]
    exps = np.exp(scores)
    return labels, (exps / exps.sum(axis=1, keepdims=True)).astype(np.float32)


def f1(confusion: np.ndarray) -> np.ndarray:
    """F1 by its definition from scikit-learn's matrices of one class and the others."""
    wrong = confusion[..., 0, 1] + confusion[..., 1, 0]
    return 2 * confusion[..., 1, 1] / (2 * confusion[..., 1, 1] + wrong)


def test_intervals_are_those_of_drawing_pictures_one_by_one():
    labels, probabilities = sample(150, 4)
    predicted = probabilities.argmax(axis=1)
    generator = np.random.default_rng(1)
    drawn = [generator.integers(0, 150, 150) for _ in range(1000)]
    found = class_intervals(ClassLabels(labels), probabilities, resamples=4000)
    scores = [
        precision_recall_fscore_support(
            labels[rows], predicted[rows], average="macro", zero_division=0
        )
        for rows in drawn
    ]
    _, recalls, f1s, _ = zip(*scores, strict=True)
    for name, values in {"macro_f1": f1s, "macro_recall": recalls}.items():
        np.testing.assert_allclose(found[name], np.quantile(values, (0.025, 0.975)), atol=0.012)
    once, again = (class_intervals(ClassLabels(labels), probabilities) for _ in range(2))
    assert once == again


def test_intervals_of_several_labels_are_too():
    generator = np.random.default_rng(0)
    labels = (generator.random((80, 3)) < 0.3).astype(np.int8)
    # There are only a few different values, so that many scores are equal.
    noise = generator.normal(0, 0.3, (80, 3))
    probabilities = (0.35 + 0.3 * labels + noise).clip(0, 1).round(1).astype(np.float32)
    given = (probabilities >= 0.5).astype(int)
    drawn = [generator.integers(0, 80, 80) for _ in range(600)]
    counts = [multilabel_confusion_matrix(labels[rows], given[rows]) for rows in drawn]
    scores = {
        "macro_f1": [f1(each).mean() for each in counts],
        "micro_f1": [f1(each.sum(axis=0)) for each in counts],
        "mean_average_precision": [
            average_precision_score(labels[rows], probabilities[rows]) for rows in drawn
        ],
    }
    found = several_intervals(SeveralLabels(labels), probabilities, resamples=4000)
    for name, values in scores.items():
        expected = np.quantile(values, (0.025, 0.975))
        np.testing.assert_allclose(found[name], expected, atol=0.02, err_msg=name)


def test_intervals_of_ten_thousand_pictures_take_no_two_seconds():
    labels, probabilities = sample(10_000, 100)
    started = time.process_time()
    found = class_intervals(ClassLabels(labels), probabilities)
    assert time.process_time() - started < 2
    assert 0.01 < found["macro_f1"][1] - found["macro_f1"][0] < 0.05


def test_a_label_that_never_occurs_has_intervals_too():
    none = SeveralLabels(np.zeros((5, 2), np.int8))
    found = several_intervals(none, np.full((5, 2), 0.1, np.float32))
    assert set(found.values()) == {(0.0, 0.0)}


def test_the_calibration_error_is_the_gap_weighted_by_pictures():
    rows = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 6)
    labels = np.array([0, 0, 0, 1] + [1] * 3 + [0] * 3)
    # With a probability of 90 %, 3 of 4 are right; with 60 %, 3 of 6.
    assert expected_calibration_error(labels, rows, SOFTMAX) == pytest.approx(
        0.4 * 0.15 + 0.6 * 0.1
    )
    assert expected_calibration_error(np.array([0]), np.array([[1.0, 0.0]]), SOFTMAX) == 0.0
    several = np.array([[1, 0], [0, 0]], np.int8)
    given = np.array([[0.8, 0.3], [0.8, 0.3]])
    assert expected_calibration_error(several, given, SIGMOID) == pytest.approx((0.3 + 0.3) / 2)
    # With one bin, the means over all pictures are compared.
    assert expected_calibration_error(labels, rows, SOFTMAX, 1) == pytest.approx(abs(0.6 - 0.72))
