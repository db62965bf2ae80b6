"""Tests that an overflow is reported with its place, and that training goes on in float32."""

from __future__ import annotations

from itertools import count

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from support.fitting import as_labels, fit_phase, prepare_phase
from support.small import run_model

from tfxfer.config.head import HeadConfig
from tfxfer.config.phases import ResolvedPhase
from tfxfer.data.items import untuned
from tfxfer.errors import InputError
from tfxfer.features.cut import build_prefix, find_cut
from tfxfer.features.feed import PhaseData
from tfxfer.machine.processes import ALONE
from tfxfer.phases.finite import Failure, StayFinite
from tfxfer.phases.precision import in_precision
from tfxfer.tasks.heads import build_head

QUIET = Console(quiet=True)
LABELS = np.arange(16) % 3
TARGETS = np.eye(3, dtype=np.float32)[LABELS]
STEPS = 2  # An epoch has so many steps of 8 pictures each.


@pytest.fixture
def cut(small_backbone, small_head):
    """The cut below the top block."""
    return find_cut(small_backbone, small_head, 1)


@pytest.fixture
def top(small_backbone):
    """The layers of the top block, in which the scale of one channel is zero.

    A number too large for float16 becomes infinite there, and infinity times zero is NaN.
    """
    names = small_backbone.blocks[-1].operations
    layers = [layer for layer in small_backbone.network.layers if layer.name in names]
    norm = next(x for x in layers if isinstance(x, keras.layers.BatchNormalization))
    norm.gamma.assign(np.array(norm.gamma) * (np.arange(norm.gamma.shape[0]) > 0))
    return layers


@pytest.fixture(scope="module")
def features(_tiny):
    """Features of 16 pictures below the top block."""
    pictures = np.random.default_rng(0).uniform(0, 255, (16, 32, 32, 3))
    head = build_head(HeadConfig(), 3, seed=0)
    prefix = build_prefix(_tiny, head, [find_cut(_tiny, head, 1)])
    return run_model(prefix, pictures)


@pytest.fixture
def make_data(cut, features):
    """A function that gives a phase's data, multiplied by a factor in one step of one epoch."""

    def make(factor: float, bad_epoch: int, bad_step: int, on_validation: float = 1.0):
        def make_training(first_epoch=0):
            epochs = count(first_epoch)

            def read():
                epoch = next(epochs)
                for step in range(STEPS):
                    part = slice(8 * step, 8 * step + 8)
                    is_bad = (epoch + 1, step + 1) == (bad_epoch, bad_step)
                    yield features[part] * (factor if is_bad else 1), TARGETS[part]

            spec = (tf.TensorSpec((8, *cut.shape)), tf.TensorSpec((8, 3)))
            dataset = tf.data.Dataset.from_generator(read, output_signature=spec)
            return untuned(dataset.apply(tf.data.experimental.assert_cardinality(STEPS)))

        return PhaseData(
            cut,
            make_training,
            lambda: iter([features * on_validation]),
            as_labels(LABELS, LABELS),
            STEPS,
            batch_size=8,
            share=ALONE,
        )

    return make


def phase(**changes) -> ResolvedPhase:
    values = {"name": "p", "unfreeze": 1, "epochs": 3, "learning_rate": 1e-3, "warmup": 0.0}
    return ResolvedPhase(**{**values, "views": "stream", "mixup": 0.0, **changes})


def test_what_overflows_float16_goes_on_in_float32_from_the_last_good_epoch(
    small_backbone, small_head, top, make_data, tmp_path
):
    said = []
    result = fit_phase(
        small_backbone, small_head, phase(precision="mixed_float16"), make_data(1e6, 2, 2), None,
        tmp_path, QUIET, say=said.append,
    )  # fmt: skip
    (note,) = said
    assert "phase 'p', epoch 2, step 2: " in note and "mixed_float16" in note
    assert "those of epoch 1, went on in float32" in note
    assert (result.precision, result.epochs) == ("float32", 3)
    for values in result.history.values():
        assert len(values) == 3 and np.isfinite(values).all()
    assert all(np.isfinite(weight).all() for layer in top for weight in layer.get_weights())
    assert {layer.compute_dtype for layer in top} == {"float32"}


@pytest.mark.parametrize(("precision", "notes"), [("float32", 0), ("mixed_bfloat16", 1)])
def test_what_is_no_number_in_float32_either_is_an_error_with_its_place(
    small_backbone, small_head, make_data, tmp_path, precision, notes
):
    said = []
    data = make_data(float("nan"), 1, 2)
    with pytest.raises(InputError, match=r"'p'.*epoch 1, step 2.*learning_rate=0\.001.*Lower it"):
        fit_phase(small_backbone, small_head, phase(precision=precision), data, None, tmp_path,
                  QUIET, say=said.append)  # fmt: skip
    assert len(said) == notes
    assert all("from before the phase" in note for note in said)


def test_figures_on_validation_have_to_be_numbers_too(
    small_backbone, small_head, make_data, tmp_path
):
    data = make_data(1.0, 0, 0, on_validation=float("nan"))
    with pytest.raises(InputError, match=r"epoch 1, validation"):
        fit_phase(small_backbone, small_head, phase(), data, None, tmp_path, QUIET)


def test_the_state_of_the_last_good_epoch_comes_back(
    small_backbone, small_head, cut, top, make_data
):
    def build(precision):
        return prepare_phase(small_backbone, small_head, phase(), cut, 6, precision=precision)[0]

    finite, after_epoch = StayFinite(keeps=True), []

    def states(model, optimizer):
        return [np.array(each) for each in (*model.variables, *optimizer.variables)]

    with in_precision(top, "mixed_float16"):
        model = build("mixed_float16")
        model.optimizer.dynamic_scale.assign(2.0**8)  # With this scale, no step is left out.
        record = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: after_epoch.append(
                states(model, model.optimizer.inner_optimizer)
            )
        )
        batches = make_data(1e6, 2, 2).make_training()
        model.fit(batches, epochs=3, callbacks=[finite, record], shuffle=False, verbose=0)
    assert (finite.failure, finite.epochs) == (Failure(2, 2), 1)
    again = build("float32")
    finite.restore(again)
    assert int(again.optimizer.iterations) == STEPS
    for value, expected in zip(states(again, again.optimizer), after_epoch[0], strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_step_that_is_left_out_for_its_gradients_is_no_failure(
    small_backbone, small_head, cut, top, make_data
):
    finite = StayFinite(keeps=True)
    with in_precision(top, "mixed_float16"):
        model, _ = prepare_phase(
            small_backbone, small_head, phase(), cut, 6, precision="mixed_float16"
        )
        model.optimizer.dynamic_scale.assign(2.0**60)
        batches = make_data(1.0, 0, 0).make_training()
        model.fit(batches, epochs=1, callbacks=[finite], shuffle=False, verbose=0)
    assert finite.failure is None
    assert int(model.optimizer.iterations) == 0
    assert float(model.optimizer.dynamic_scale) == 2.0**58
