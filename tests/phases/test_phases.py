"""Tests of freezing, learning rates and early stopping on a small real network."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from support.cutting import lowest_blocks
from support.fitting import as_labels, fit_phase, prepare_phase
from support.small import as_it_was, run_model

import tfxfer
from tfxfer.backbones.whole import build_model
from tfxfer.config.backbone import BackboneConfig
from tfxfer.config.head import HeadConfig
from tfxfer.config.phases import ResolvedPhase
from tfxfer.data.items import untuned
from tfxfer.errors import InputError
from tfxfer.features.cut import ITEMS, build_prefix, find_cut
from tfxfer.features.feed import PhaseData
from tfxfer.machine.processes import ALONE
from tfxfer.phases.keep_best import KeepBest, Standing
from tfxfer.phases.memory import memory_errors
from tfxfer.phases.optimizers import LayerwiseAdamW
from tfxfer.phases.schedules import layerwise_factors, warmup_cosine
from tfxfer.phases.unfreeze import count_parameters, unfreeze_top
from tfxfer.records.results import PhaseResult
from tfxfer.tasks.heads import build_head
from tfxfer.training.estimate import check_memory

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def _random():
    keras.utils.set_random_seed(3)
    config = BackboneConfig(name="TinyNet", weights="none", image_size_px=32)
    return lowest_blocks(tfxfer.build_backbone(config), 4)


@pytest.fixture
def backbone(_random):
    """A network with random weights, which is reset for each test."""
    keras.utils.set_random_seed(3)
    with as_it_was(_random.network):
        yield _random


@pytest.fixture
def head():
    return build_head(HeadConfig(), 3, seed=0)


@pytest.fixture
def pictures():
    """An array of 24 pictures of three classes, which differ in brightness."""
    labels = np.arange(24) % 3
    noise = np.random.default_rng(0).uniform(0, 60, (24, 32, 32, 3))
    return (noise + 80 * labels[:, None, None, None]).astype(np.float32)


@pytest.fixture
def make_data(backbone, head, pictures):
    """A function that gives a phase's data: the pictures' features at the cut."""

    def make(unfrozen=0):
        cut = find_cut(backbone, head, unfrozen)
        features = pictures
        if cut.name != ITEMS:
            features = run_model(build_prefix(backbone, head, [cut]), pictures)
        labels = np.arange(24) % 3
        dataset = tf.data.Dataset.from_tensor_slices(
            (features, np.eye(3, dtype=np.float32)[labels])
        )
        dataset = untuned(dataset.batch(8))
        return PhaseData(
            cut,
            lambda *_: dataset,
            lambda: iter([features]),
            as_labels(labels, labels),
            3,
            batch_size=8,
            share=ALONE,
        )

    return make


def phase(**changes) -> ResolvedPhase:
    values = {"name": "p", "epochs": 1, "learning_rate": 1e-3, "views": "stream", "mixup": 0.0}
    return ResolvedPhase(**{**values, **changes})


def snapshot(backbone) -> dict[str, np.ndarray]:
    return {weight.path: np.array(weight) for weight in backbone.network.weights}


def test_head_only_moves_no_weight_of_the_backbone(backbone, head, make_data, tmp_path):
    before = snapshot(backbone)
    result = fit_phase(backbone, head, phase(), make_data(), None, tmp_path, QUIET)
    assert (result.cut, result.solver, result.epochs) == ("pooled", "adamw", 1)
    assert result.trainable_parameters == 32 * 3 + 3
    assert result.unfrozen == ()
    for path, value in snapshot(backbone).items():
        np.testing.assert_array_equal(value, before[path], err_msg=path)


def test_fine_tuning_keeps_batch_norm_bit_equal_and_moves_the_top(
    backbone, head, make_data, tmp_path
):
    before = snapshot(backbone)
    result = fit_phase(backbone, head, phase(unfreeze=3), make_data(3), None, tmp_path, QUIET)
    assert result.best_epoch == 1
    assert result.cut == backbone.blocks[-4].name
    top = {layer for block in backbone.blocks[-3:] for layer in block.layers}
    batch_norms = {
        layer.name
        for layer in backbone.network.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    assert top & batch_norms
    for path, value in snapshot(backbone).items():
        layer = path.split("/")[-2]
        if layer in top - batch_norms:
            assert not np.array_equal(value, before[path]), f"{path} was to be trained"
        else:
            np.testing.assert_array_equal(value, before[path], err_msg=path)


@pytest.mark.slow
def test_batch_norm_trains_where_a_phase_says_so(backbone, head, make_data, tmp_path):
    before = snapshot(backbone)
    settings = phase(unfreeze=4, batch_norm="train")
    fit_phase(backbone, head, settings, make_data(4), None, tmp_path, QUIET)
    moved = [p for p, value in snapshot(backbone).items() if not np.array_equal(value, before[p])]
    assert len(moved) == len(before)


def test_batch_norm_above_a_cut_trains_where_a_phase_says_so(backbone, head, make_data, tmp_path):
    before = snapshot(backbone)
    settings = phase(unfreeze=2, batch_norm="train")
    fit_phase(backbone, head, settings, make_data(2), None, tmp_path, QUIET)
    moved = {p for p, value in snapshot(backbone).items() if not np.array_equal(value, before[p])}
    top = {layer for block in backbone.blocks[-2:] for layer in block.layers}
    trained = {path for path in before if path.split("/")[-2] in top}
    assert moved <= trained
    assert {path for path in trained if path.endswith(("mean", "variance", "beta"))} <= moved


def test_trainable_parameters_are_those_of_the_outer_model(backbone, head):
    cut = find_cut(backbone, head, 2)
    model, unfrozen = prepare_phase(backbone, head, phase(unfreeze=2), cut, 3)
    names = {layer for block in unfrozen for layer in block.layers}
    expected = sum(
        layer.count_params()
        for layer in backbone.network.layers
        if layer.name in names and not isinstance(layer, keras.layers.BatchNormalization)
    )
    assert count_parameters(model.trainable_weights) == expected + 32 * 3 + 3


def test_freezing_again_undoes_unfreezing(backbone):
    unfreeze_top(backbone.network, backbone.blocks, "all", "train")
    assert len(backbone.network.trainable_weights) == 15
    assert unfreeze_top(backbone.network, backbone.blocks, 0) == ()
    assert backbone.network.trainable_weights == []


def test_a_phase_that_only_harms_changes_nothing(backbone, head, make_data, pictures, tmp_path):
    good = fit_phase(backbone, head, phase(epochs=30, learning_rate=0.02), make_data(), None,
                     tmp_path, QUIET)  # fmt: skip
    before = snapshot(backbone)
    model = build_model(backbone, head)
    expected = run_model(model, pictures)
    harmful = phase(name="q", unfreeze=2, learning_rate=50.0, warmup=0.0)
    result = fit_phase(backbone, head, harmful, make_data(2), good, tmp_path, QUIET)
    assert (result.has_improved, result.best_epoch) == (False, 0)
    assert result.val_accuracy == good.val_accuracy
    for path, value in snapshot(backbone).items():
        np.testing.assert_array_equal(value, before[path])
    np.testing.assert_array_equal(run_model(model, pictures), expected)


def test_a_loss_that_is_no_number_is_an_error_with_a_rate_to_try(
    backbone, head, make_data, tmp_path
):
    data = make_data()
    bad = data.make_training().map(lambda x, y: (x * float("nan"), y))
    broken = replace(data, make_training=lambda *_: bad)
    with pytest.raises(InputError, match=r"learning_rate=0\.0001"):
        fit_phase(backbone, head, phase(), broken, None, tmp_path, QUIET)


def test_memory_that_runs_out_is_an_error_with_a_batch_to_try(backbone, head, make_data, tmp_path):
    def take_memory(features, labels):  # It takes a petabyte, which no process can address.
        # NumPy allocates it, because TensorFlow would wait ten seconds for memory to be freed.
        taken = tf.numpy_function(lambda: np.empty(2**48, np.float32)[:1], [], tf.float32)
        return features + tf.ensure_shape(taken, [1]), labels

    data = make_data()
    greedy = replace(data, make_training=lambda *_: data.make_training().map(take_memory))
    message = r"batch_size=8\. Try --set data\.batch_size=4"
    with pytest.raises(InputError, match=message), memory_errors(8):
        fit_phase(backbone, head, phase(), greedy, None, tmp_path, QUIET)


@pytest.mark.parametrize(
    ("pictures", "kept"),
    # Half a standard error of 0.8 is 0.0002, 0.02 and 0.03.
    [(1_000_000, (5, Standing(0.8, 0.8))), (100, (6, Standing(0.79, 2.0))),
     (40, (7, Standing(0.775, 3.0)))],
)  # fmt: skip
def test_keep_best_takes_the_last_of_the_best_epochs(pictures, kept):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    keeper = KeepBest(None, Standing.of(None), items=pictures)
    keeper.set_model(model)
    keeper.on_train_begin()
    epochs = [(0.5, 1.0), (0.8, 0.9), (0.8, 0.7), (0.7, 0.1), (0.8, 0.8), (0.79, 2.0), (0.775, 3.0)]
    for epoch, (accuracy, cross_entropy) in enumerate(epochs):
        model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        keeper.on_epoch_end(epoch, {"val_accuracy": accuracy, "val_cross_entropy": cross_entropy})
    keeper.restore()
    assert (keeper.epoch, keeper.standing) == kept
    assert model.get_weights()[0].item() == keeper.epoch - 1


def test_keep_best_has_patience_with_epochs_that_are_no_better():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    keeper = KeepBest(2, Standing.of(None), items=1_000_000)
    keeper.set_model(model)
    model.stop_training = False  # `fit` sets this, too.
    keeper.on_train_begin()
    epochs = [(0.5, 1.0), (0.8, 0.9), (0.8, 0.7), (0.7, 0.1), (0.79, 0.8)]
    for epoch, (accuracy, cross_entropy) in enumerate(epochs):
        model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        assert not model.stop_training
        keeper.on_epoch_end(epoch, {"val_accuracy": accuracy, "val_cross_entropy": cross_entropy})
    assert model.stop_training
    keeper.restore()
    assert (keeper.epoch, keeper.standing) == (3, Standing(0.8, 0.7))
    assert model.get_weights()[0].item() == 2


def test_keep_best_without_patience_waits_for_the_last_epoch():
    keeper = KeepBest(None, Standing(0.9, 0.3), items=100)
    keeper.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    keeper.model.stop_training = False
    keeper.on_train_begin()
    for epoch in range(50):
        keeper.on_epoch_end(epoch, {"val_accuracy": 0.1, "val_cross_entropy": 3.0})
    assert not keeper.model.stop_training
    keeper.on_epoch_end(50, {"val_accuracy": 0.91, "val_cross_entropy": 3.0})
    assert keeper.epoch == 51


def test_keep_best_starts_from_the_phase_before():
    previous = PhaseResult(
        name="head", unfrozen=(), cut="pooled", views=1, solver="logistic", precision="float32",
        trainable_parameters=1, epochs=0, has_improved=True, best_epoch=0,
        val_accuracy=0.9, val_cross_entropy=0.3, seconds=1.0, history={},
    )  # fmt: skip
    keeper = KeepBest(1, Standing.of(previous), items=100)
    keeper.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    keeper.on_train_begin()
    keeper.on_epoch_end(0, {"val_accuracy": 0.9, "val_cross_entropy": 0.4})
    assert keeper.epoch == 0
    assert keeper.model.stop_training


def test_the_rate_warms_up_and_falls_along_a_cosine():
    rate = warmup_cosine(0.1, steps=100, warmup=0.1)
    assert float(rate(0)) == 0.0
    assert float(rate(5)) == pytest.approx(0.05)
    assert float(rate(10)) == pytest.approx(0.1)
    assert float(rate(55)) == pytest.approx(0.05)
    assert float(rate(100)) == pytest.approx(0.0, abs=1e-8)
    assert float(warmup_cosine(0.1, 10, 0.0)(0)) == pytest.approx(0.1)


def test_deeper_blocks_move_at_a_lower_rate(backbone, head):
    cut = find_cut(backbone, head, 3)
    model, unfrozen = prepare_phase(backbone, head, phase(unfreeze=3, layer_decay=0.5), cut, 3)
    factors = model.optimizer.factors
    for depth, block in enumerate(reversed(unfrozen), start=1):
        layer = next(name for name in block.layers if name.endswith("_conv"))
        (weight,) = backbone.network.get_layer(layer).trainable_weights
        assert factors[weight.path] == 0.5**depth
    assert layerwise_factors({"a": 2}, 0.5) == {"a": 0.25}


def test_the_optimizer_equals_keras_adamw_and_scales_by_factor():
    def step(optimizer, gradient):
        kernel = keras.Variable(np.ones((2, 2)), name="kernel")
        bias = keras.Variable(np.ones(2), name="bias")
        if isinstance(optimizer, LayerwiseAdamW) and optimizer.factors:
            optimizer.factors = {kernel.path: 0.1}
        optimizer.apply([keras.ops.ones((2, 2)) * gradient, keras.ops.ones(2)], [kernel, bias])
        return np.array(kernel), np.array(bias)

    reference = keras.optimizers.AdamW(0.01, weight_decay=0.5)
    reference.exclude_from_weight_decay(var_names=["bias"])
    expected = step(reference, 0.3)
    ours = step(LayerwiseAdamW(0.01, decay=0.5, clip_norm=1e6), 0.3)
    np.testing.assert_allclose(ours[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(ours[1], expected[1], rtol=1e-6)
    scaled = step(LayerwiseAdamW(0.01, {"any": 0.1}, decay=0.5, clip_norm=1e6), 0.3)
    np.testing.assert_allclose(1 - scaled[0], (1 - expected[0]) / 10, rtol=1e-4)


def test_a_batch_that_cannot_fit_is_refused_with_one_that_does(backbone):
    with pytest.raises(InputError, match=r"batch_size=(\d+)\. Try --set data\.batch_size=") as no:
        check_memory(backbone, 4, batch_size=4096, available_bytes=20_000_000)
    suggestion = int(str(no.value).split("Try --set data.batch_size=")[1].split(",")[0])
    assert 1 <= suggestion < 4096
    check_memory(backbone, 4, suggestion, 20_000_000)
    check_memory(backbone, 0, 1024, 200_000_000)
