"""Tests that the solver's head is scikit-learn's logistic regression, folded into a kernel."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support.fitting import PLAIN, as_labels, fit_phase, prepare_phase
from support.tiny_net import CHANNELS

from tfxfer.config.head import HeadConfig
from tfxfer.config.phases import ResolvedPhase
from tfxfer.data.items import untuned
from tfxfer.errors import InputError
from tfxfer.features.cut import find_cut
from tfxfer.features.feed import PhaseData
from tfxfer.machine.processes import ALONE
from tfxfer.records.results import PhaseResult
from tfxfer.task import Solution
from tfxfer.tasks.heads import build_head
from tfxfer.tasks.solver import can_solve, channel_scale, estimate_seconds


def draw_features(classes, count, seed, channels=CHANNELS) -> tuple[np.ndarray, np.ndarray]:
    """Return overlapping classes; channels are far from zero, with different scales, one of 0."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = np.random.default_rng(99).normal(0, 0.3, (classes, channels))
    features = centres[labels] + generator.normal(0, 1, (count, channels))
    features = 3 + features * np.geomspace(0.1, 10, channels)
    features[:, 0] = 2.5
    return features.astype(np.float32), labels


def softmax(logits) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def solve(tables, *labels) -> Solution:
    """Fit a head to features, given class numbers of the training pictures and of validation."""
    return PLAIN.solve(tables, as_labels(*labels), phase(), share=ALONE)


def objective(kernel, bias, features, labels, strength) -> float:
    """Return the loss of ridge logistic regression: cross-entropy plus the kernel's squares."""
    probabilities = softmax(features @ kernel + bias)
    cross_entropies = -np.log(probabilities[np.arange(len(labels)), labels])
    return cross_entropies.sum() + (kernel**2).sum() / (2 * strength)


@pytest.mark.parametrize(("classes", "views"), [(3, 1), (3, 2), (2, 1)])
def test_the_head_gives_scikit_learn_s_probabilities_on_features_as_they_are(
    make_table, classes, views
):
    parts = [draw_features(classes, 150, seed) for seed in range(views)]
    held_out, held_out_labels = draw_features(classes, 60, 50)
    tables = tuple(make_table(features) for features in (*(x for x, _ in parts), held_out))
    solution = solve(tables, parts[0][1], held_out_labels)
    assert solution.kernel.shape == (CHANNELS, classes)
    assert solution.bias.shape == (classes,)
    assert solution.kernel.dtype == solution.bias.dtype == np.float32
    probabilities = softmax(held_out @ solution.kernel + solution.bias)

    features, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[0] = 1
    scale = channel_scale(deviation, solution.evenness)
    reference = LogisticRegression(C=solution.strength, max_iter=1000, tol=1e-6)
    scaled = (features - mean) / scale
    reference.fit(scaled, labels)
    kernel, bias = reference.coef_.T, reference.intercept_
    if classes == 2:  # scikit-learn leaves out the first class's column of zeros.
        kernel, bias = np.hstack([0 * kernel, kernel]), np.append(0, bias)
    least = objective(kernel, bias, scaled, labels, solution.strength)
    ours = solution.kernel * scale[:, None], solution.bias + mean @ solution.kernel
    assert objective(*ours, scaled, labels, solution.strength) <= 1.002 * least
    expected = reference.predict_proba((held_out - mean) / scale)
    np.testing.assert_allclose(probabilities, expected, atol=0.03)
    assert np.abs(expected - 1 / classes).max() > 0.2

    assert solution.accuracy == (probabilities.argmax(axis=1) == held_out_labels).mean()
    assert solution.cross_entropy == pytest.approx(log_loss(held_out_labels, probabilities), 1e-4)
    assert solution.cross_entropy < np.log(classes)


def test_the_penalty_is_the_one_that_is_best_on_validation(make_table):
    features, labels = draw_features(3, 90, seed=0)
    held_out, held_out_labels = draw_features(3, 60, seed=1)
    noisy = solve((make_table(features), make_table(held_out)), labels, held_out_labels)
    weakest = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    probabilities = weakest.fit(features, labels).predict_proba(held_out)
    weak = (probabilities.argmax(axis=1) == held_out_labels).mean()
    weakest_figures = (weak, -log_loss(held_out_labels, probabilities) - 1e-3)
    assert (noisy.accuracy, -noisy.cross_entropy) >= weakest_figures
    for part, numbers in ((features, labels), (held_out, held_out_labels)):
        part[:, 1:4] += 30 * np.eye(3, dtype=np.float32)[numbers]
    clear = solve((make_table(features), make_table(held_out)), labels, held_out_labels)
    assert (clear.strength, clear.accuracy) == (1.0, 1.0)


def test_of_many_pictures_the_chosen_fit_is_as_exact_as_of_few(make_table):
    classes, count, channels = 20, 4200, 256
    features, labels = draw_features(classes, count, seed=0, channels=channels)
    held_out, held_out_labels = draw_features(classes, 200, seed=1, channels=channels)
    assert estimate_seconds(build_head(HeadConfig(), classes, 0), count, channels) > 2
    solution = solve((make_table(features), make_table(held_out)), labels, held_out_labels)
    deviation = features.std(axis=0)
    deviation[0] = 1
    scale = channel_scale(deviation, solution.evenness)
    scaled = (features - features.mean(axis=0)) / scale
    kernel = solution.kernel * scale[:, np.newaxis]
    wrong = softmax(features @ solution.kernel + solution.bias) - np.eye(classes)[labels]
    slopes = (scaled.T @ wrong + kernel / solution.strength) / count
    assert np.abs(slopes).max() < 2e-4
    assert np.abs(scaled.T @ (softmax(0 * wrong) - np.eye(classes)[labels]) / count).max() > 2e-3


@pytest.mark.parametrize("evenness", [0.0, 0.5, 1.0])
def test_channels_weigh_the_more_alike_the_more_even_their_scale(evenness):
    deviation = np.array([0.1, 1.0, 10.0])
    scaled = deviation / channel_scale(deviation, evenness)
    assert np.mean(scaled**2) == pytest.approx(1)
    assert scaled[2] / scaled[0] == pytest.approx(100 ** (1 - evenness))


def test_a_linear_head_can_be_solved_where_its_features_are_not_too_many():
    linear, many_classes = build_head(HeadConfig(), 3, 0), build_head(HeadConfig(), 1000, 0)
    assert can_solve(linear, 50_000, 1280)
    assert can_solve(build_head(HeadConfig(dropout=0), 3, 0), 6, 1280)
    assert not can_solve(build_head(HeadConfig(kind="mlp"), 3, 0), 6, 1280)
    assert not can_solve(linear, 10**6, 1280), "memory"
    assert not can_solve(many_classes, 50_000, 1280), "time"
    assert estimate_seconds(many_classes, 1000, 100) > estimate_seconds(linear, 1000, 100) > 0


def make_batches(*arrays) -> tf.data.Dataset:
    return untuned(tf.data.Dataset.from_tensor_slices(arrays).batch(8))


@pytest.fixture
def data(small_backbone, small_head, make_table):
    """The data of a head phase, whose features are stored."""
    training, labels = draw_features(3, 48, 0)
    validation, validation_labels = draw_features(3, 24, 1)
    one_hot = np.eye(3, dtype=np.float32)
    return PhaseData(
        find_cut(small_backbone, small_head, 0),
        lambda *_: make_batches(training, one_hot[labels]),
        lambda: iter([validation]),
        as_labels(labels, validation_labels),
        steps_per_epoch=6,
        batch_size=8,
        share=ALONE,
        views=1,
        tables=(make_table(training), make_table(validation)),
    )


def phase(**changes) -> ResolvedPhase:
    values = {"name": "p", "epochs": 2, "learning_rate": 1e-3, "views": 1, "mixup": 0.0}
    return ResolvedPhase(**{**values, **changes})


def test_a_head_phase_is_solved_and_its_figures_are_those_of_the_model(
    small_backbone, small_head, data, tmp_path
):
    result = fit_phase(
        small_backbone, small_head, phase(), data, None, tmp_path, Console(quiet=True)
    )
    assert (result.solver, result.epochs, result.history) == ("logistic", 0, {})
    assert result.has_improved
    model, _ = prepare_phase(small_backbone, small_head, phase(), data.cut, 1)
    (features,), labels = data.validation(), data.labels[1].numbers
    targets = np.eye(3, dtype=np.float32)[labels]
    figures = model.evaluate(features, targets, verbose=0, return_dict=True)
    assert figures["accuracy"] == pytest.approx(result.val_accuracy)
    assert figures["cross_entropy"] == pytest.approx(result.val_cross_entropy, rel=1e-4)


def test_a_solution_that_is_worse_than_what_there_was_is_not_taken(
    small_backbone, small_head, data, tmp_path
):
    prepare_phase(small_backbone, small_head, phase(), data.cut, 1)
    before = small_head.layers[-1].get_weights()
    better = PhaseResult(
        name="earlier", unfrozen=(), cut="pooled", views=1, solver="adamw", precision="float32",
        trainable_parameters=1, epochs=1, has_improved=True, best_epoch=1,
        val_accuracy=1.0, val_cross_entropy=0.0,
        seconds=1.0, history={},
    )  # fmt: skip
    result = fit_phase(
        small_backbone, small_head, phase(), data, better, tmp_path, Console(quiet=True)
    )
    assert (result.val_accuracy, result.val_cross_entropy) == (1.0, 0.0)
    assert not result.has_improved
    for value, expected in zip(small_head.layers[-1].get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_adamw_trains_the_head_where_a_phase_asks_for_it(
    small_backbone, small_head, data, tmp_path
):
    result = fit_phase(
        small_backbone, small_head, phase(solver="adamw"), data, None, tmp_path, Console(quiet=True)
    )
    assert (result.solver, result.epochs) == ("adamw", 2)


def test_mixing_needs_gradient_steps(small_backbone, small_head, data, tmp_path):
    result = fit_phase(
        small_backbone, small_head, phase(mixup=0.2), data, None, tmp_path, Console(quiet=True)
    )
    assert result.solver == "adamw"


def test_a_head_that_cannot_be_solved_is_refused_where_a_phase_asks_for_it(
    small_backbone, data, tmp_path
):
    head = build_head(HeadConfig(kind="mlp", hidden_units=4), 3, seed=0)
    with pytest.raises(InputError, match=r"solver='logistic' fits a linear head.*phase 'p'"):
        fit_phase(
            small_backbone,
            head,
            phase(solver="logistic"),
            data,
            None,
            tmp_path,
            Console(quiet=True),
        )
