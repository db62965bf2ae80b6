"""Engines run frozen layers as Keras does, or are not taken."""

from __future__ import annotations

import re
import sys
import time

import keras
import numpy as np
import pytest
from keras.src.applications.nasnet import NASNet

from tfxfer.config.head import HeadConfig
from tfxfer.errors import InputError
from tfxfer.features import engines
from tfxfer.features.choose_engine import TOLERANCE, Reference, choose_engine, largest_error
from tfxfer.features.cut import build_prefix, find_cut
from tfxfer.features.engines import BATCH, ENGINES, Engine
from tfxfer.modalities.pictures.networks.applications import build_network, wrap_network
from tfxfer.modalities.pictures.networks.families import NETWORKS
from tfxfer.tasks.heads import build_head

pytestmark = pytest.mark.slow

# Behind four and nine blocks: random weights lose bfloat16's few bits in the blocks above.
CUTS = (4, 2)


@pytest.fixture
def prefix(small_backbone, small_head):
    """The lower blocks of a small network, cut at two places."""
    cuts = [find_cut(small_backbone, small_head, unfrozen) for unfrozen in CUTS]
    return build_prefix(small_backbone, small_head, cuts)


@pytest.fixture
def pictures():
    """A batch of pictures, each brighter than the one before."""
    noise = np.random.default_rng(0).uniform(0, 100, (BATCH, 32, 32, 3))
    return (noise + np.linspace(0, 155, BATCH)[:, None, None, None]).astype(np.float32)


def keras_features(prefix, pictures):
    return [part.numpy() for part in keras.tree.flatten(prefix(pictures, training=False))]


def build_flipped(prefix):
    """Return an engine that gets the order of the colours wrong."""
    run = engines.build_tensorflow(prefix)
    return lambda batches: run(batch[..., ::-1] for batch in batches)


def build_half_broken(prefix):
    """Return an engine whose last features are no numbers."""
    run = engines.build_tensorflow(prefix)
    return lambda batches: ([*parts[:-1], parts[-1] * np.nan] for parts in run(batches))


def build_nothing(prefix):
    """An engine that knows none of the operations."""
    raise NotImplementedError("DepthwiseConv2D is not known\nand more on this")


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_agrees_with_keras_and_keeps_the_order(name, prefix, pictures):
    if name.startswith("openvino"):
        pytest.importorskip("openvino")
    is_exact = name in ("tensorflow", "openvino_float32")
    tolerance = 1e-4 if is_exact else TOLERANCE
    batches = [np.roll(pictures, shift, axis=0) for shift in range(11)] + [pictures[:3]]
    results = list(ENGINES[name](prefix)(batches))
    assert len(results) == len(batches)
    for batch, parts in zip(batches, results, strict=True):
        expected = keras_features(prefix, batch)
        assert [part.shape for part in parts] == [part.shape for part in expected]
        assert all(part.dtype == np.float32 for part in parts)
        assert largest_error(parts, expected) <= tolerance
        other = keras_features(prefix, np.roll(batch, 1, axis=0))
        assert largest_error(parts, other) > tolerance, "another order is told apart"


@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
def test_a_run_does_not_disturb_another_one(name, prefix, pictures):
    if name == "openvino":
        pytest.importorskip("openvino")
    run = ENGINES[name](prefix)
    batches = [pictures * share for share in np.linspace(0.1, 1, 12, dtype=np.float32)]
    expected = [parts[0] for parts in run(batches)]
    left_in_the_middle = run(batches)
    next(left_in_the_middle)
    left_in_the_middle.close()
    for one, other, there, back in zip(
        run(batches), run(batches[::-1]), expected, expected[::-1], strict=True
    ):
        np.testing.assert_array_equal(one[0], there)
        np.testing.assert_array_equal(other[0], back)


def build_nasnet():
    """Build a NASNet of few and narrow cells, which XLA compiles in a moment."""
    return NASNet(
        input_shape=(32, 32, 3), penultimate_filters=96, num_blocks=1, stem_block_filters=8,
        skip_reduction=False, filter_multiplier=2, include_top=False, weights=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "frozen", "pooling"),
    [
        ("ResNet50", 1, "avg"),  # turns RGB around in an operation that is no layer
        ("MobileNetV3Small", 1, "avg"),  # adds and multiplies in the same way
        ("NASNetMobile", 2, "avg"),  # packs two tensors
        ("TinyNet", 6, "avg_max"),
    ],
)
def test_xla_runs_networks_that_hold_more_than_layers(name, frozen, pooling):
    keras.utils.set_random_seed(0)
    network = build_nasnet() if name == "NASNetMobile" else build_network(name, 32)
    backbone = wrap_network(network, NETWORKS[name], 32)
    head = build_head(HeadConfig(pooling=pooling), 3, seed=0)
    cut = find_cut(backbone, head, len(backbone.blocks) - frozen)
    prefix = build_prefix(backbone, head, [cut])
    pictures = np.random.default_rng(0).uniform(0, 255, (BATCH, 32, 32, 3))
    pictures = (pictures * np.linspace(0.1, 1, BATCH)[:, None, None, None]).astype(np.float32)
    features = next(engines.build_xla(prefix)([pictures]))
    assert largest_error(features, keras_features(prefix, pictures)) <= TOLERANCE


@pytest.mark.parametrize("order", [("slow", "tensorflow"), ("tensorflow", "slow")])
def test_the_fastest_engine_is_taken_wherever_it_stands(order, prefix, pictures, monkeypatch):
    def build_slow(prefix):
        run = engines.build_tensorflow(prefix)

        def wait(batch):
            time.sleep(0.5)
            return batch

        return lambda batches: run(map(wait, batches))

    monkeypatch.setitem(ENGINES, "slow", build_slow)
    monkeypatch.setattr(engines, "list_candidates", lambda: order)
    assert choose_engine(Reference(prefix, lambda: pictures), wanted="auto")[0].name == "tensorflow"


def test_weights_that_give_no_numbers_are_refused_whatever_the_engine(prefix, pictures):
    with pytest.raises(InputError, match="Weights must give finite features"):
        choose_engine(Reference(prefix, lambda: pictures * np.nan), wanted="auto")


def test_an_engine_of_this_machine_s_choice_agrees(prefix, pictures):
    engine, refused = choose_engine(Reference(prefix, lambda: pictures), wanted="auto")
    assert engine.name in engines.list_candidates()
    assert refused == ()
    assert engine.error <= TOLERANCE
    assert engine.items_per_second > 0


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (build_flipped, r"engine odd was refused: its features differ from Keras's by \d"),
        (build_half_broken, r"engine odd was refused: its features differ from Keras's by nan"),
        (
            build_nothing,
            r"engine odd cannot run these layers "
            r"\(NotImplementedError: DepthwiseConv2D is not known\)",
        ),
    ],
)
def test_an_engine_that_is_wrong_is_refused_and_the_next_one_taken(
    build, reason, prefix, pictures, monkeypatch
):
    monkeypatch.setitem(ENGINES, "odd", build)
    monkeypatch.setattr(engines, "list_candidates", lambda: ("odd", "tensorflow"))
    engine, refused = choose_engine(Reference(prefix, lambda: pictures), wanted="auto")
    assert engine.name == "tensorflow"
    (line,) = refused
    assert re.match(reason, line)
    with pytest.raises(InputError, match=reason):
        choose_engine(Reference(prefix, lambda: pictures), wanted="odd")


def test_an_engine_that_is_not_installed_is_named(prefix, pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match=r"engine='openvino' needs the package openvino\."):
        choose_engine(Reference(prefix, lambda: pictures), wanted="openvino")


def test_all_works_without_openvino(prefix, pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert "openvino" not in engines.list_candidates()
    engine, refused = choose_engine(Reference(prefix, lambda: pictures[:5]), wanted="auto")
    assert refused == ()
    (features,) = engine.run([pictures[:5]])
    assert largest_error(features, keras_features(prefix, pictures[:5])) <= TOLERANCE


def test_errors_are_relative_and_those_of_the_worst_part():
    expected = [np.array([[-10.0], [10.0]]), np.array([[1e-3], [-1e-3]])]
    assert largest_error([part * 1.01 for part in expected], expected) == pytest.approx(0.01)
    assert largest_error([expected[0], expected[1] * 1.5], expected) == pytest.approx(0.5)
    shifted = [part + 100 for part in expected]
    errors = [largest_error(given, shifted) for given in (shifted, [p * 1.01 for p in shifted])]
    assert errors[0] == 0
    assert errors[1] > 0.1, "what all pictures have in common makes no difference small"


def test_an_engine_says_what_it_is(prefix, pictures):
    engine, _ = choose_engine(Reference(prefix, lambda: pictures), wanted="tensorflow")
    assert isinstance(engine, Engine)
    assert (engine.name, engine.items_per_second) == ("tensorflow", None), "no trial was needed"
    assert engine.error < 1e-4
