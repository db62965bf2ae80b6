"""Tests of metrics against small cases that were computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tfxfer.kinds import TASKS
from tfxfer.records.proportions import wilson_interval


def evaluate_rows(rows, labels):
    """Evaluate rows of probabilities."""
    rows = np.array(rows, np.float32)
    classes = [f"class {index}" for index in range(rows.shape[1])]
    labels = np.array(labels)
    task = TASKS["several" if labels.ndim == 2 else "classes"]
    return task.evaluate("test", task.read(labels), rows, classes)


def test_accuracy_f1_and_confusion():
    rows = [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5]]
    result = evaluate_rows(rows, [0, 0, 1, 1, 2])
    assert result.accuracy == pytest.approx(0.8)
    assert result.confusion == ((0, 0, 2), (1, 0, 1), (1, 1, 1), (2, 2, 1))
    assert result.per_class_f1 == pytest.approx({"class 0": 0.8, "class 1": 2 / 3, "class 2": 1.0})
    assert result.macro_f1 == pytest.approx((0.8 + 2 / 3 + 1) / 3)
    assert result.cross_entropy == pytest.approx(-np.log([0.7, 0.6, 0.8, 0.4, 0.5]).mean())
    assert result.top5_accuracy is None
    assert result.pictures == 5


def test_a_class_without_pictures_has_no_f1():
    result = evaluate_rows([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], [0, 0, 0])
    assert result.per_class_f1 == pytest.approx({"class 0": 0.8})
    assert result.macro_f1 == pytest.approx(0.8)


def test_top5_is_given_from_21_classes_on():
    rows = np.full((2, 21), 0.01)
    rows[:, :6] = [0.3, 0.2, 0.15, 0.1, 0.08, 0.07]
    assert evaluate_rows(rows, [4, 5]).top5_accuracy == pytest.approx(0.5)
    assert evaluate_rows(rows[:, :20], [4, 5]).top5_accuracy is None


def test_the_interval_is_wilson_s():
    # See Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(29, 29) == pytest.approx((0.8830, 1.0), abs=5e-5)


def test_macro_recall_counts_each_class_that_occurs_once():
    rows = [[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0], [0.9, 0.1, 0.0]]
    result = evaluate_rows(rows, [0, 0, 1, 1, 0])
    assert result.accuracy == pytest.approx(0.8)
    assert result.macro_recall == pytest.approx((1 + 0.5) / 2)
    assert (result.mean_average_precision, result.micro_f1) == (None, None)


def test_several_labels_have_metrics_of_their_own():
    rows = [[0.9, 0.2, 0.1], [0.8, 0.6, 0.1], [0.3, 0.7, 0.2], [0.6, 0.1, 0.3]]
    labels = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]], np.int8)
    result = evaluate_rows(rows, labels)
    # In the order of probability, the first label is right, right, wrong, wrong; the second is
    # right (0.7), wrong (0.6), wrong (0.2), right (0.1). The third occurs nowhere.
    assert result.mean_average_precision == pytest.approx((1 + (1 + 2 / 4) / 2) / 2)
    # At 0.5, the first label is given to three pictures, of which two are right; the second to two.
    assert result.per_class_f1 == pytest.approx({"class 0": 0.8, "class 1": 0.5})
    assert result.macro_f1 == pytest.approx(0.65)
    assert result.micro_f1 == pytest.approx(2 * 3 / (5 + 4))
    assert result.macro_recall == pytest.approx((1 + 0.5) / 2)
    assert result.accuracy == pytest.approx(0.5), "pictures 0 and 2 are wholly right"
    assert result.accuracy_interval == pytest.approx(wilson_interval(2, 4))
    given = np.array(rows)
    entropies = -np.log(np.where(labels == 1, given, 1 - given))
    assert result.cross_entropy == pytest.approx(entropies.mean())
    assert (result.confusion, result.top5_accuracy) == (None, None)


def test_a_split_in_which_no_label_occurs_has_figures_too():
    result = evaluate_rows([[0.9, 0.2], [0.1, 0.1]], np.zeros((2, 2), np.int8))
    assert (result.accuracy, result.macro_f1, result.micro_f1) == (0.5, 0.0, 0.0)
    assert (result.mean_average_precision, result.per_class_f1) == (0.0, {})
