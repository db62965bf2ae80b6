"""Tests of phases and the solver on small classes when classes are balanced."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from support.balancing import objective, phase, softmax
from support.fitting import as_labels, fit_phase
from support.tiny_net import CHANNELS

from tfxfer.errors import InputError
from tfxfer.features.batches import Batching, make_stored_training
from tfxfer.features.cut import find_cut
from tfxfer.features.feed import PhaseData
from tfxfer.machine.processes import ALONE
from tfxfer.phases.keep_best import standard_error
from tfxfer.tasks.balance import adjust_by

pytestmark = pytest.mark.slow

QUIET = Console(quiet=True)
METHODS = ("class_weights", "sampling", "logit_adjustment")


def draw_features(counts, seed) -> tuple[np.ndarray, np.ndarray]:
    """Return features and labels of classes that overlap in a few of the channels."""
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = np.random.default_rng(99).normal(0, 1.0, (len(counts), 3))
    features = np.random.default_rng(seed).normal(0, 1, (len(labels), CHANNELS)) * 0.05
    features[:, :3] = centres[labels] + np.random.default_rng(seed + 1).normal(
        0, 1, (len(labels), 3)
    )
    return features.astype(np.float32), labels


@pytest.fixture
def make_data(small_backbone, small_head, make_table):
    """A function that gives a head phase's data: 60, 20 and 6 overlapping training pictures."""

    def make(counts=(60, 20, 6), is_stored=True) -> PhaseData:
        training, labels = draw_features(counts, 0)
        validation, validation_labels = draw_features((60, 60, 60), 5)
        order = np.random.default_rng(0).permutation(len(labels))

        def batches(x, y):
            targets = np.eye(3, dtype=np.float32)[y]
            return tf.data.Dataset.from_tensor_slices((x, targets)).batch(20)

        return PhaseData(
            find_cut(small_backbone, small_head, 0),
            lambda *_: batches(training[order], labels[order]),
            lambda: iter([validation]),
            as_labels(labels, validation_labels),
            steps_per_epoch=-(-len(labels) // 20),
            batch_size=20,
            share=ALONE,
            views=1,
            tables=(make_table(training), make_table(validation)) if is_stored else (),
        )

    return make


@pytest.mark.parametrize("solver", ["logistic", "adamw"])
def test_balancing_is_chosen_by_macro_recall_and_finds_more_of_the_small_classes(
    small_backbone, small_head, make_data, tmp_path, solver
):
    data = make_data()
    settings = phase(solver=solver, epochs=10, learning_rate=0.02, label_smoothing=0.0)
    held_out, labels = draw_features((60, 60, 60), 5)
    layer = small_head.layers[-1]

    def train(balance):
        if layer.built:
            layer.set_weights([np.zeros((CHANNELS, 3)), np.zeros(3)])
        given = data
        if balance == "sampling":  # `make_phase_data` would give this; the solver reads no batch.
            drawn = {"classes": 3, "batching": Batching(20, draws_evenly=True), "seed": 0}
            draw = partial(make_stored_training, data.tables[:1], data.labels[0], **drawn)
            given = replace(data, make_training=lambda *_: draw())
        result = fit_phase(
            small_backbone, small_head, settings, given, None, tmp_path, QUIET,
            objective=objective(balance, (60, 20, 6)),
        )  # fmt: skip
        kernel, bias = layer.get_weights()
        return result, softmax(held_out @ kernel + bias).argmax(axis=1)

    plain, plain_answers = train("none")
    assert (plain.chosen_by, plain.val_macro_recall) == ("accuracy", None)
    assert plain.val_score == plain.val_accuracy
    for balance in METHODS:
        result, answers = train(balance)
        assert (result.chosen_by, result.solver) == ("macro_recall", solver)
        recall = balanced_accuracy_score(labels, answers)
        assert result.val_score == result.val_macro_recall == pytest.approx(recall)
        assert result.val_accuracy == pytest.approx((answers == labels).mean())
        if solver == "adamw":
            scores = result.history["val_macro_recall"]
            assert result.val_macro_recall == scores[result.best_epoch - 1]
            # It is the last epoch within half a standard error of the best one.
            floor = max(scores) - 0.5 * standard_error(max(scores), len(labels))
            assert [n for n, score in enumerate(scores, 1) if score >= floor][-1] == (
                result.best_epoch
            )
        assert recall > balanced_accuracy_score(labels, plain_answers) + 0.03, balance


def fit_both(data, balance):
    return [
        objective(each, (60, 20, 6)).solve(data.tables, data.labels, phase(), share=ALONE)
        for each in ("none", balance)
    ]


def test_the_solver_weighs_pictures_as_scikit_learn_s_balanced_weights_do(make_data):
    data = make_data()
    _, solution = fit_both(data, "class_weights")
    _, drawn = fit_both(data, "sampling")
    np.testing.assert_array_equal(drawn.kernel, solution.kernel)
    features, labels = draw_features((60, 20, 6), 0)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scale = deviation**solution.evenness * np.sqrt(
        np.mean(deviation ** (2 - 2 * solution.evenness))
    )
    reference = LogisticRegression(C=solution.strength, class_weight="balanced", max_iter=1000)
    reference.fit((features - mean) / scale, labels)
    held_out, _ = draw_features((60, 60, 60), 5)
    np.testing.assert_allclose(
        softmax(held_out @ solution.kernel + solution.bias),
        reference.predict_proba((held_out - mean) / scale),
        atol=0.02,
    )


def test_the_solver_s_adjusted_head_is_the_plain_one_less_its_log_priors(make_data):
    plain, adjusted = fit_both(make_data((60, 20, 6)), "logit_adjustment")
    if (plain.strength, plain.evenness) == (adjusted.strength, adjusted.evenness):
        np.testing.assert_allclose(adjusted.kernel, plain.kernel)
    held_out, labels = draw_features((60, 60, 60), 5)
    rows = softmax(held_out @ adjusted.kernel + adjusted.bias)
    assert adjusted.score == pytest.approx(balanced_accuracy_score(labels, rows.argmax(axis=1)))
    # The gradient of the biases in the loss of equation 10 is zero, because it is at its minimum.
    features, own = draw_features((60, 20, 6), 0)
    biased = softmax(features @ adjusted.kernel + adjusted.bias + adjust_by((60, 20, 6)))
    np.testing.assert_allclose(biased.sum(axis=0), np.bincount(own), atol=0.3)


def test_a_loss_that_is_no_number_ends_a_balanced_phase_as_any_other(
    small_backbone, small_head, make_data, tmp_path
):
    data = make_data(is_stored=False)
    bad = data.make_training().map(lambda x, y: (x * float("nan"), y))
    with pytest.raises(InputError, match="is none any more in float32"):
        fit_phase(
            small_backbone, small_head, phase(), replace(data, make_training=lambda *_: bad), None,
            tmp_path, QUIET, objective=objective("class_weights"),
        )  # fmt: skip
