"""Tests of a phase's precision: it is tried without side effects, and set for its layers only."""

from __future__ import annotations

import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from support.fitting import as_labels, fit_phase, prepare_phase
from support.small import run_model

from tfxfer.config.head import HeadConfig
from tfxfer.config.phases import PRECISIONS, ResolvedPhase
from tfxfer.data.items import untuned
from tfxfer.features.cut import build_prefix, find_cut
from tfxfer.features.feed import PhaseData
from tfxfer.machine.processes import ALONE
from tfxfer.phases.keep_best import KeepBest, Standing
from tfxfer.phases.precision import agree, choose_precision, in_precision
from tfxfer.phases.span import load_state, save_state
from tfxfer.tasks.heads import build_head

pytestmark = pytest.mark.slow

LossScale = keras.optimizers.LossScaleOptimizer
rounds_float32 = tf.config.experimental.tensor_float_32_execution_enabled
REWRITE = "auto_mixed_precision_onednn_bfloat16"


@pytest.fixture
def cut(small_backbone, small_head):
    """The cut below the top block."""
    return find_cut(small_backbone, small_head, 1)


@pytest.fixture
def top(small_backbone):
    """The layers of the top block."""
    names = small_backbone.blocks[-1].operations
    return [layer for layer in small_backbone.network.layers if layer.name in names]


@pytest.fixture(scope="module")
def batches(_tiny):
    """Features of 16 pictures of three classes below the top block."""
    labels = np.arange(16) % 3
    noise = np.random.default_rng(0).uniform(0, 60, (16, 32, 32, 3))
    pictures = noise + 80 * labels[:, None, None, None]
    head = build_head(HeadConfig(), 3, seed=0)
    prefix = build_prefix(_tiny, head, [find_cut(_tiny, head, 1)])
    features = run_model(prefix, pictures)
    dataset = tf.data.Dataset.from_tensor_slices((features, np.eye(3, dtype=np.float32)[labels]))
    return untuned(dataset.batch(8))


def phase(**changes) -> ResolvedPhase:
    values = {"name": "p", "unfreeze": 1, "epochs": 1, "learning_rate": 1e-2, "warmup": 0.0}
    return ResolvedPhase(**{**values, "views": "stream", "mixup": 0.0, **changes})


def choose(build, layers, batches, steps, candidates, first_step=0):
    return choose_precision(
        build, layers, batches=batches, steps=steps, candidates=candidates, first_step=first_step
    )


def snapshot(model) -> list[np.ndarray]:
    return [np.array(state) for state in (*model.variables, *model.optimizer.variables)]


def is_rewriting() -> bool:
    return bool(tf.config.optimizer.get_experimental_options().get(REWRITE))


@pytest.mark.parametrize(("steps", "tried"), [(1, 1), (10**9, 4)])
def test_a_trial_leaves_weights_optimizer_and_random_states_as_they_were(
    small_backbone, small_head, cut, top, batches, steps, tried
):
    built = []

    def build(precision):
        model, _ = prepare_phase(small_backbone, small_head, phase(), cut, 20, precision=precision)
        built.append(model)
        return model

    reference = build("float32")
    before = snapshot(reference)
    precision, model = choose(build, top, batches, steps, PRECISIONS)
    assert len(built) == 1 + tried
    assert model in built
    assert precision == "float32" if tried == 1 else precision in PRECISIONS
    optimizer = model.optimizer
    assert isinstance(optimizer, LossScale) == (precision == "mixed_float16")
    after = [
        np.array(state)
        for state in (*model.variables, *getattr(optimizer, "inner_optimizer", optimizer).variables)
    ]
    assert len(after) == len(before)
    for value, expected in zip(after, before, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert [layer.compute_dtype for layer in top] == ["float32"] * len(top)
    assert not is_rewriting()


@pytest.mark.parametrize(("factor", "expected"), [(1.0, "bfloat16_rewrite"), (1.2, "float32")])
def test_what_is_faster_is_taken_if_its_losses_agree(
    small_backbone, small_head, cut, top, batches, factor, expected
):
    """The test makes TensorFlow's rewrite the fastest, with float32's losses or with wrong ones."""
    losses: list[float] = []

    def build(_):
        model, _ = prepare_phase(small_backbone, small_head, phase(), cut, 20)
        fit, rewrites = model.fit, is_rewriting()

        def slow_fit(*args, callbacks, **kwargs):
            seconds = 0.0 if rewrites else 0.4
            wait = keras.callbacks.LambdaCallback(
                on_train_batch_begin=lambda *_, **__: time.sleep(seconds)
            )
            done = fit(*args, callbacks=[*callbacks, wait], **kwargs)
            if rewrites:
                done.history["loss"] = [loss * factor for loss in losses]
            elif not losses:
                losses.extend(done.history["loss"])
            return done

        model.fit = slow_fit
        return model

    candidates = ("float32", "bfloat16_rewrite")
    assert choose(build, top, batches, 10**9, candidates, 2)[0] == expected


def test_a_trial_changes_nothing_of_the_training_that_follows(
    small_backbone, small_head, cut, top, batches
):
    def build(precision="float32"):
        return prepare_phase(small_backbone, small_head, phase(), cut, 20, precision=precision)[0]

    dropout = next(x for x in small_head.layers if isinstance(x, keras.layers.Dropout))
    start, randomness = build().get_weights(), np.array(dropout.seed_generator.state)
    _, tried = choose(build, top, batches, 1, PRECISIONS)
    tried.fit(batches, epochs=2, shuffle=False, verbose=0)
    after_a_trial = tried.get_weights()
    untried = build()
    untried.set_weights(start)
    dropout.seed_generator.state.assign(randomness)
    untried.fit(batches, epochs=2, shuffle=False, verbose=0)
    for value, expected in zip(after_a_trial, untried.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_mixed_policy_holds_inside_only(top, dtype):
    with in_precision(top, f"mixed_{dtype}"):
        assert {layer.compute_dtype for layer in top} == {dtype}
        assert {layer.variable_dtype for layer in top} == {"float32"}
        convolution = next(x for x in top if isinstance(x, keras.layers.Conv2D))
        shape = (1, 2, 2, convolution.kernel.shape[2])
        assert convolution(np.ones(shape, np.float32)).dtype == dtype
        assert not is_rewriting()
        assert not rounds_float32()  # Only the head is outside of the policy.
    assert rounds_float32()
    assert {layer.compute_dtype for layer in top} == {"float32"}
    assert convolution(np.ones(shape, np.float32)).dtype == tf.float32


def test_the_rewrite_is_switched_on_inside_only(top):
    assert not is_rewriting()
    with in_precision(top, "bfloat16_rewrite"):
        assert is_rewriting()
        assert {layer.compute_dtype for layer in top} == {"float32"}
    assert not is_rewriting()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_error_restores_policies_and_options(top, precision):
    with pytest.raises(OSError, match="stop"), in_precision(top, precision):
        raise OSError("stop")
    assert {layer.compute_dtype for layer in top} == {"float32"}
    assert not is_rewriting()
    assert rounds_float32()


@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_a_phase_trains_in_the_precision_that_it_names(
    small_backbone, small_head, cut, top, batches, precision, tmp_path
):
    before = [np.array(weight) for layer in top for weight in layer.trainable_weights]
    labels = np.arange(16) % 3
    data = PhaseData(
        cut,
        lambda *_: batches,
        lambda: (features for features, _ in batches.as_numpy_iterator()),
        as_labels(labels, labels),
        2,
        batch_size=8,
        share=ALONE,
    )
    result = fit_phase(
        small_backbone, small_head, phase(precision=precision, epochs=4), data, None, tmp_path,
        Console(quiet=True),
    )  # fmt: skip
    assert result.precision == precision
    after = [np.array(weight) for layer in top for weight in layer.trainable_weights]
    assert {value.dtype.name for value in after} == {"float32"}
    assert all(not np.array_equal(*pair) for pair in zip(before, after, strict=False))
    assert {layer.compute_dtype for layer in top} == {"float32"}


@pytest.mark.parametrize(("precision", "rtol"), [("float32", 1e-4), ("mixed_float16", 1e-3)])
def test_steps_that_xla_compiles_train_as_others_do(
    small_backbone, cut, top, batches, precision, rtol, monkeypatch
):
    """Keras lets XLA compile the steps if TensorFlow has a GPU."""
    settings = phase(learning_rate=1e-3)
    start, losses = small_backbone.network.get_weights(), []
    for is_compiled in (False, True):
        monkeypatch.setattr(
            keras.Model, "_resolve_auto_jit_compile", lambda _, answer=is_compiled: answer
        )
        small_backbone.network.set_weights(start)
        head = build_head(HeadConfig(dropout=0.0), 3, 0)
        with in_precision(top, precision):
            model, _ = prepare_phase(small_backbone, head, settings, cut, 6, precision=precision)
            assert model.jit_compile == is_compiled
            losses.append(model.fit(batches, epochs=3, shuffle=False, verbose=0).history["loss"])
    assert len(set(losses[0])) == 3
    np.testing.assert_allclose(*losses, rtol=rtol)


def test_a_scaled_loss_changes_neither_rates_nor_clipping_nor_the_place_in_the_schedule(
    small_backbone, small_head, cut, top, batches, tmp_path
):
    settings = phase(layer_decay=0.5, weight_decay=0.0, clip_norm=1e-3, warmup=0.5)

    def build(precision):
        return prepare_phase(small_backbone, small_head, settings, cut, 8, precision=precision)[0]

    with in_precision(top, "mixed_float16"):
        model = build("mixed_float16")
        assert isinstance(model.optimizer, LossScale)
        model.optimizer.dynamic_scale.assign(2.0**8)  # With this scale, no step is left out.
        model.optimizer.iterations.assign(2)  # This is in the middle of the warm-up.
        before = [np.array(weight) for weight in model.trainable_variables]
        model.train_on_batch(*next(iter(batches.as_numpy_iterator())))
        # A step changes the momenta by a tenth of the clipped gradients.
        momenta = [
            np.array(each)
            for each in model.optimizer.inner_optimizer.variables
            if "momentum" in each.path
        ]
    assert np.sqrt(sum(np.sum(each**2) for each in momenta)) == pytest.approx(1e-4, rel=1e-3)
    assert int(model.optimizer.iterations) == 3
    assert float(model.optimizer.learning_rate) == pytest.approx(0.75 * settings.learning_rate)
    # Adam's first change equals the rate, but here its means are corrected as in a third step.
    changes = {
        weight.path: np.abs(np.array(weight) - old).max()
        for weight, old in zip(model.trainable_variables, before, strict=True)
    }
    kernel = next(layer.kernel.path for layer in top if isinstance(layer, keras.layers.Conv2D))
    probabilities = small_head.layers[-1].kernel.path
    assert changes[kernel] == pytest.approx(changes[probabilities] / 2, rel=0.05)

    path = tmp_path / "state.npz"
    keeper = KeepBest(None, Standing(), items=16)
    keeper.weights = model.get_weights()
    save_state(path, model, keeper)
    with in_precision(top, "mixed_float16"):
        other = build("mixed_float16")
        load_state(path, other, KeepBest(None, Standing(), items=16))
    for value, expected in zip(snapshot(other), snapshot(model), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_head_computes_in_float32_whatever_it_reads(kind):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        head = build_head(HeadConfig(kind=kind, pooling="avg_max"), 3, seed=0)
    finally:
        keras.config.set_dtype_policy("float32")
    read = keras.Input((2, 2, 4), dtype="float16")
    pooled = head.pool(read)
    assert {pooled.dtype, head.classify(pooled).dtype} == {"float32"}
    assert {layer.compute_dtype for layer in (*head.poolings, *head.layers)} == {"float32"}
    # The sum exceeds float16's range, although each number lies within it.
    pixels = np.full((1, 2, 2, 4), 60_000, np.float16)
    assert float(keras.ops.max(head.poolings[0](pixels))) == pytest.approx(60_000, rel=1e-3)


def test_losses_agree_up_to_rounding():
    expected = np.array([1.0, 0.5, 0.01])
    assert agree(expected * 1.04, expected)
    assert not agree(expected * np.array([1.0, 1.0, 1.1]), expected)
    assert not agree(np.array([1.0, np.nan, 0.01]), expected)
