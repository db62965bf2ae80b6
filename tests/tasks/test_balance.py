"""Tests of the weights and adjusted logits for classes of different sizes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.balancing import COUNTS, objective, softmax
from support.settings import data_config

from tfxfer.errors import InputError
from tfxfer.kinds import TASKS
from tfxfer.tasks.balance import adjust_by, note_imbalance, weigh_classes
from tfxfer.tasks.objective import ClassObjective
from tfxfer.training.load import load_data


def test_weights_make_classes_alike_and_are_1_in_the_mean():
    weights = weigh_classes((6, 3, 0, 1))
    np.testing.assert_allclose(weights, [10 / 18, 10 / 9, 0, 10 / 3], rtol=1e-6)
    assert (weights * [6, 3, 0, 1]).sum() == pytest.approx(10)
    np.testing.assert_array_equal(weigh_classes((5, 5)), [1, 1])


def test_logits_are_adjusted_by_the_logarithm_of_the_priors():
    np.testing.assert_allclose(np.exp(adjust_by((6, 3, 1))), [0.6, 0.3, 0.1], rtol=1e-6)
    assert np.isfinite(adjust_by((6, 0))).all()


def test_a_large_ratio_is_noted_where_nothing_is_done_about_it():
    (note,) = note_imbalance({"ant": 50, "bee": 20, "wasp": 10}, "none")
    assert "ant, has 50" in note and "wasp, 10" in note and "data.balance" in note
    assert not note_imbalance({"ant": 50, "wasp": 10}, "sampling")
    assert not note_imbalance({"ant": 49, "wasp": 10}, "none")


def test_the_weighted_loss_weighs_each_picture_by_its_target_mixed_ones_too():
    targets = np.array([[1, 0, 0], [0, 0, 1], [0.25, 0, 0.75]], np.float32)
    logits = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    ours = objective("class_weights").make_loss(0.1)(targets, softmax(logits))
    plain = ClassObjective().make_loss(0.1)
    plain.reduction = None
    weights = targets @ weigh_classes(COUNTS)
    np.testing.assert_allclose(ours, plain(targets, softmax(logits)) * weights, rtol=1e-5)
    even = objective("class_weights", (7, 7, 7)).make_loss(0.1)
    np.testing.assert_allclose(
        even(targets, softmax(logits)), plain(targets, softmax(logits)), rtol=1e-6
    )


def test_the_adjusted_loss_is_that_of_logits_plus_log_priors():
    """This is equation 10 of Menon et al. 2021; small probabilities still have a gradient."""
    targets = np.eye(3, dtype=np.float32)
    logits = tf.Variable([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0], [30.0, 0.0, -25.0]])
    with tf.GradientTape() as tape:
        values = objective("logit_adjustment").make_loss(0.0)(targets, tf.nn.softmax(logits))
        total = tf.reduce_sum(values)
    adjusted = logits.numpy() + np.log(np.array(COUNTS) / sum(COUNTS))
    expected = softmax(adjusted)
    np.testing.assert_allclose(values, -np.log(np.diag(expected)), rtol=1e-4)
    np.testing.assert_allclose(tape.gradient(total, logits), expected - targets, atol=1e-5)


def test_balance_needs_one_label_a_picture(own_folder):
    with pytest.raises(ValueError, match="balance and shots need one label a picture"):
        data_config(source="x.csv", label_separator=";", balance="sampling")
    pictures = load_data(data_config(source=str(own_folder)), seed=0)
    labels = TASKS["several"].read(np.ones((len(pictures.train.labels), 3), np.int8))
    with pytest.raises(InputError, match="balance needs one label a picture"):
        TASKS["several"].make_objective(labels, 3, balance="sampling")
    objective = pictures.task.make_objective(pictures.train.labels, 3, balance="sampling")
    assert objective.counts == (4, 4, 4)


def test_without_balance_the_loss_is_keras_s_own():
    assert isinstance(ClassObjective().make_loss(0.1), keras.losses.CategoricalCrossentropy)
    assert ClassObjective().chosen_by == "accuracy"
