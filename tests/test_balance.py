"""Classes of different sizes: what weights, draws and adjusted logits come to."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import COLOURS, write_classes
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from tfxfer.config import AugmentationConfig, DataConfig, FeaturesConfig, ResolvedPhase
from tfxfer.data.pipeline import make_training_dataset
from tfxfer.data.sampling import draw_evenly
from tfxfer.data.sources import load_data
from tfxfer.errors import InputError
from tfxfer.features import shards, store
from tfxfer.features.batches import make_stored_training
from tfxfer.features.feed import PhaseData, make_phase_data
from tfxfer.features.frozen import FrozenLayers
from tfxfer.features.split import find_cut
from tfxfer.phases.balance import adjust_by, note_imbalance, weigh_classes
from tfxfer.phases.fit import fit_phase
from tfxfer.phases.objective import Objective, make_loss, make_objective
from tfxfer.phases.solver import solve_head

QUIET = Console(quiet=True)
COUNTS = (24, 12, 3)
CHANNELS = 256  # of the small network
METHODS = ("class_weights", "sampling", "logit_adjustment")


def softmax(logits) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def objective(balance, counts=COUNTS) -> Objective:
    return Objective(balance=balance, counts=counts)


def phase(**changes) -> ResolvedPhase:
    values = {"name": "p", "epochs": 1, "learning_rate": 1e-3, "views": 1, "mixup": 0.0}
    return ResolvedPhase(**{**values, **changes})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """24, 12 and 3 training pictures of three classes."""
    root = tmp_path_factory.mktemp("imbalanced")
    write_classes(root / "train", dict(zip(COLOURS, COUNTS, strict=True)))
    for number, split in enumerate(("val", "test"), start=1):
        write_classes(root / split, dict.fromkeys(COLOURS, 4), first_seed=10_000 * number)
    return load_data(DataConfig(source=str(root)), seed=0)


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
    ours = make_loss(objective("class_weights"), 0.1)(targets, softmax(logits))
    plain = make_loss(Objective(), 0.1)
    plain.reduction = None
    weights = targets @ weigh_classes(COUNTS)
    np.testing.assert_allclose(ours, plain(targets, softmax(logits)) * weights, rtol=1e-5)
    even = make_loss(objective("class_weights", (7, 7, 7)), 0.1)
    np.testing.assert_allclose(
        even(targets, softmax(logits)), plain(targets, softmax(logits)), rtol=1e-6
    )


def test_the_adjusted_loss_is_that_of_logits_plus_log_priors():
    """Menon et al. 2021, equation 10; its gradient lives where a probability is all but zero."""
    targets = np.eye(3, dtype=np.float32)
    logits = tf.Variable([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0], [30.0, 0.0, -25.0]])
    with tf.GradientTape() as tape:
        values = make_loss(objective("logit_adjustment"), 0.0)(targets, tf.nn.softmax(logits))
        total = tf.reduce_sum(values)
    adjusted = logits.numpy() + np.log(np.array(COUNTS) / sum(COUNTS))
    expected = softmax(adjusted)
    np.testing.assert_allclose(values, -np.log(np.diag(expected)), rtol=1e-4)
    np.testing.assert_allclose(tape.gradient(total, logits), expected - targets, atol=1e-5)


def test_an_even_draw_has_as_many_of_each_class_and_repeats_late():
    labels = np.repeat(np.arange(3), COUNTS)
    positions, rounds = draw_evenly(labels, 40, np.random.default_rng(0))
    assert sorted(np.bincount(labels[positions])) == [13, 13, 14]
    own = np.bincount(positions, minlength=39)
    assert own[:24].max() == 1, "the largest class has enough for its share"
    assert set(own[36:]) <= {4, 5}, "the smallest takes turns"
    for position in np.unique(positions):
        np.testing.assert_array_equal(
            np.sort(rounds[positions == position]), np.arange(own[position])
        )
    assert len(set(labels[positions[:10]])) > 1, "classes are mixed"
    again, _ = draw_evenly(labels, 40, np.random.default_rng(0))
    other, _ = draw_evenly(labels, 40, np.random.default_rng(1))
    np.testing.assert_array_equal(again, positions)
    assert not np.array_equal(other, positions)


def read_epochs(dataset, count=2) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    return [[(x.numpy(), y.numpy()) for x, y in dataset] for _ in range(count)]


def test_pictures_are_drawn_evenly_anew_in_each_epoch(pictures):
    def make(seed=0):
        plain = AugmentationConfig(crop_min_area=1, flip=False, colour=0)
        return make_training_dataset(pictures.train, 3, 32, 8, plain, seed, True)

    epochs = read_epochs(make(), 8)
    assert [len(epoch) for epoch in epochs] == [39 // 8] * 8, "as many steps as without"
    drawn = np.concatenate([y for epoch in epochs for _, y in epoch]).sum(axis=0)
    # 256 draws: four standard deviations of a binomial are 30.
    assert np.abs(drawn - 256 / 3).max() < 30
    assert not np.array_equal(epochs[0][0][0], epochs[1][0][0])
    for ours, theirs in zip(epochs, read_epochs(make(), 2), strict=False):
        for (x, y), (x2, y2) in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(x, x2)
            np.testing.assert_array_equal(y, y2)
    assert not np.array_equal(epochs[0][0][0], read_epochs(make(seed=1), 1)[0][0][0])


@pytest.mark.parametrize("views", [2, "stream"])
def test_a_phase_draws_evenly_from_what_is_stored_and_from_what_streams(
    small_backbone, small_head, pictures, tmp_path, views
):
    config = FeaturesConfig(engine="tensorflow", cache_dir=str(tmp_path / "cache"))
    layers = FrozenLayers(
        small_backbone, small_head, AugmentationConfig(), config, 0, QUIET, pictures.source
    )
    settings = phase(unfreeze=3, views=views)
    data = make_phase_data(layers, pictures, [settings], 8, draws_evenly=True)
    assert (data.views, data.steps_per_epoch) == (2 if views == 2 else 0, 4)
    (epoch,) = read_epochs(data.make_training(), 1)
    assert [len(x) for x, _ in epoch] == [8] * 4
    drawn = np.concatenate([y for _, y in epoch]).sum(axis=0)
    assert drawn[2] > 3, "the smallest class comes again"
    if views == 2:
        assert drawn.min() >= 13 - 7 and drawn.max() <= 13, "13 of each, less one batch left out"


def test_a_stored_picture_that_comes_again_shows_its_other_view(make_table):
    features = np.arange(20, dtype=np.float32).reshape(2, 10, 1)
    labels = np.array([0] * 9 + [1])
    tables = [make_table(view) for view in features]
    (epoch,) = read_epochs(make_stored_training(tables, labels, 2, 10, 0, draws_evenly=True), 1)
    rare = [value for x, _ in epoch for value in x[:, 0] if value % 10 == 9]
    assert sorted(rare) == [9, 9, 9, 19, 19] or sorted(rare) == [9, 9, 19, 19, 19]


@pytest.fixture
def make_table(tmp_path):
    """Gives a stored table of some features."""

    def make(features) -> store.Table:
        names = [str(index) for index in range(len(features))]
        kind = shards.Kind(shards.digest(features.tobytes()), features.shape[1:], {})
        with shards.write_shard(tmp_path / "cache", kind, names, "float32") as append:
            append(features)
        return store.look_up(tmp_path / "cache", kind, names)

    return make


def draw_features(counts, seed) -> tuple[np.ndarray, np.ndarray]:
    """Classes that overlap, in a few of the channels."""
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = np.random.default_rng(99).normal(0, 1.0, (len(counts), 3))
    features = np.random.default_rng(seed).normal(0, 1, (len(labels), CHANNELS)) * 0.05
    features[:, :3] = centres[labels] + np.random.default_rng(seed + 1).normal(
        0, 1, (len(labels), 3)
    )
    return features.astype(np.float32), labels


@pytest.fixture
def make_data(small_backbone, small_head, make_table):
    """Gives what a head-only phase gets: 60, 20 and 6 overlapping training pictures."""

    def make(counts=(60, 20, 6), is_stored=True) -> PhaseData:
        training, labels = draw_features(counts, 0)
        validation, validation_labels = draw_features((60, 60, 60), 5)
        order = np.random.default_rng(0).permutation(len(labels))

        def batches(x, y):
            targets = np.eye(3, dtype=np.float32)[y]
            return tf.data.Dataset.from_tensor_slices((x, targets)).batch(20)

        return PhaseData(
            find_cut(small_backbone, small_head, 0),
            lambda: batches(training[order], labels[order]),
            batches(validation, validation_labels),
            (labels, validation_labels),
            steps_per_epoch=-(-len(labels) // 20),
            batch_size=20,
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
        if balance == "sampling":  # what `make_phase_data` would give; the solver reads no batch
            args = (data.tables[:1], data.labels[0], 3, 20, 0, True)
            given = replace(data, make_training=lambda *_: make_stored_training(*args))
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
            assert result.val_macro_recall == max(result.history["val_macro_recall"])
        assert recall > balanced_accuracy_score(labels, plain_answers) + 0.03, balance


def fit_both(data, balance):
    return [
        solve_head(data.tables, *data.labels, objective(each, (60, 20, 6)))
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
    # The loss of equation 10 does not fall along the gradient of its biases: it is at its least.
    features, own = draw_features((60, 20, 6), 0)
    biased = softmax(features @ adjusted.kernel + adjusted.bias + adjust_by((60, 20, 6)))
    np.testing.assert_allclose(biased.sum(axis=0), np.bincount(own), atol=0.3)


def test_a_loss_that_is_no_number_ends_a_balanced_phase_as_any_other(
    small_backbone, small_head, make_data, tmp_path
):
    data = make_data(is_stored=False)
    bad = data.make_training().map(lambda x, y: (x * float("nan"), y))
    with pytest.raises(InputError, match="is no number any more"):
        fit_phase(
            small_backbone, small_head, phase(), replace(data, make_training=lambda *_: bad), None,
            tmp_path, QUIET, objective=objective("class_weights"),
        )  # fmt: skip


def test_balance_needs_one_label_a_picture(pictures):
    with pytest.raises(ValueError, match="balance and shots need one label a picture"):
        DataConfig(source="x.csv", label_separator=";", balance="sampling")
    several = replace(pictures, train=replace(pictures.train, labels=np.ones((39, 3), np.int8)))
    with pytest.raises(InputError, match="balance needs one label a picture"):
        make_objective(several, "sampling")
    assert make_objective(pictures, "sampling").counts == COUNTS


def test_without_balance_the_loss_is_keras_s_own():
    assert isinstance(make_loss(Objective(), 0.1), keras.losses.CategoricalCrossentropy)
    assert Objective().chosen_by == "accuracy"
