"""Cuts of networks that read more than one picture: masks, free axes, several maps, dropout."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from support.encoders import (
    VOCABULARY,
    WIDTH,
    build_detector,
    build_encoder,
    build_with_drop_connect,
    take,
)

from tfxfer.errors import InputError
from tfxfer.features.cut import build_prefix, build_suffix, find_cut
from tfxfer.features.engines import ENGINES
from tfxfer.phases.unfreeze import unfreeze_top
from tfxfer.tasks.heads import DenseHead


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)


def plain_head() -> DenseHead:
    """Gives the vectors of the network themselves."""
    return DenseHead((keras.layers.GlobalAveragePooling2D(),), (keras.layers.Identity(),))


def draw_tokens(lengths=(7, 3, 5), longest=7) -> np.ndarray:
    """Numbers up to the largest of the vocabulary, 0 behind the end of a text."""
    ids = np.random.default_rng(0).integers(1, VOCABULARY, (len(lengths), longest), np.int32)
    return np.where(np.arange(longest) < np.array(lengths)[:, np.newaxis], ids, 0)


@pytest.mark.parametrize("unfrozen", [1, 2, 3])
@pytest.mark.parametrize("mask", ["input", "made"])
def test_a_cut_carries_what_unfrozen_blocks_read_besides_the_block_below(mask, unfrozen):
    """All blocks read the mask, which no frozen block makes where it is an input."""
    backbone, head = build_encoder(mask), plain_head()
    cut = find_cut(backbone, head, unfrozen)
    ids = draw_tokens()
    given = [ids, ids != 0] if mask == "input" else ids
    prefix, suffix = build_prefix(backbone, head, [cut]), build_suffix(backbone, head, cut)
    features = prefix(given, training=False)
    assert cut.is_ragged and not cut.is_spatial
    assert features.shape == (3, 7, *cut.shape[1:])
    expected = backbone.network(given, training=False)
    np.testing.assert_array_equal(suffix(features, training=False), expected)
    unmasked = backbone.network([ids, ids == ids], training=False) if mask == "input" else None
    assert unmasked is None or np.abs(unmasked - expected).max() > 1e-3, "the mask matters"


def test_a_mask_costs_one_channel_and_whole_numbers_four():
    head = plain_head()
    assert find_cut(build_encoder("input"), head, 2).shape == (None, WIDTH + 1)
    assert find_cut(build_encoder("made"), head, 2).shape == (None, WIDTH + 1)
    assert find_cut(build_encoder("made"), head, 3).shape == (None, WIDTH + 4), "the numbers"
    assert find_cut(build_encoder("made"), head, 0).shape == (WIDTH,)
    assert find_cut(build_encoder("made"), head, 4).shape == (None,), "the texts themselves"


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
def test_whole_numbers_come_through_an_engine_as_they_are(engine):
    """Some engines compute in bfloat16, which has 8 bits: numbers go through it byte by byte."""
    if engine == "openvino":
        pytest.importorskip("openvino")
    backbone, head = build_encoder("made"), plain_head()
    cut, ids = find_cut(backbone, head, 3), draw_tokens()
    run = ENGINES[engine](build_prefix(backbone, head, [cut]))
    ((features,),) = run([ids])
    assert cut.tensors == ((None,), (None, WIDTH)), "the numbers come first"
    kept = features.astype(np.float16).astype(np.float32)[..., :4]
    numbers = (np.round(kept * 256) * 256.0 ** np.arange(4)).sum(axis=-1)
    np.testing.assert_array_equal(numbers, ids)


def test_padding_does_not_change_what_a_cut_gives():
    backbone, head = build_encoder("made"), plain_head()
    cut = find_cut(backbone, head, 2)
    prefix, suffix = build_prefix(backbone, head, [cut]), build_suffix(backbone, head, cut)
    short = draw_tokens((3, 2), 3)
    padded = np.pad(short, ((0, 0), (0, 9)))
    few, many = prefix(short), prefix(padded)
    np.testing.assert_allclose(few, many[:, :3], atol=1e-6)
    np.testing.assert_allclose(suffix(few), suffix(many), atol=1e-6)


def test_two_free_axes_are_refused():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 1, name="block0")(inputs)
    wild = take(keras.Model(inputs, keras.layers.Conv2D(4, 1, name="block1")(x)))
    with pytest.raises(InputError, match=r"one free axis.*behind 'block0'.*\(None, None, 4\)"):
        find_cut(wild, plain_head(), 1)


def test_three_maps_of_different_sizes_are_packed_as_one():
    backbone, head = build_detector(), plain_head()
    cut = find_cut(backbone, head, 1)
    assert sorted(cut.tensors) == [(4, 4, 8), (8, 8, 6), (16, 16, 4)]
    assert cut.shape == (4 * 4 * 8 + 8 * 8 * 6 + 16 * 16 * 4,)
    pictures = np.random.default_rng(0).uniform(0, 1, (2, 32, 32, 3)).astype(np.float32)
    features = build_prefix(backbone, head, [cut])(pictures)
    expected = backbone.network(pictures, training=False)
    assert np.abs(expected).max() > 1e-2
    given = build_suffix(backbone, head, cut)(features, training=False)
    np.testing.assert_array_equal(given, expected)


def compare_modes(backbone, features) -> float:
    """How far a suffix in training mode is from the same in inference mode."""
    head = plain_head()
    unfreeze_top(backbone.network, backbone.blocks, 2)
    cut = find_cut(backbone, head, 2)
    suffix = build_suffix(backbone, head, cut)
    given = np.broadcast_to(features, (4, *features.shape[1:]))
    calm = np.asarray(suffix(given, training=False))
    return float(np.abs(np.asarray(suffix(given, training=True)) - calm).max())


def test_unfrozen_blocks_drop_units_out_where_the_network_keeps_its_dropout():
    backbone = build_encoder("made", dropout=0.5, keeps_dropout=True)
    features = np.random.default_rng(0).normal(size=(1, 5, WIDTH + 1)).astype(np.float32)
    assert compare_modes(backbone, features) > 1e-3


def test_a_network_without_dropout_computes_the_same_in_both_modes():
    backbone = build_encoder("made", keeps_dropout=True)
    features = np.random.default_rng(0).normal(size=(1, 5, WIDTH + 1)).astype(np.float32)
    assert compare_modes(backbone, features) == 0.0


def test_batch_statistics_stay_as_they_are_while_units_drop_out():
    backbone = build_with_drop_connect(keeps_dropout=True)
    norms = [layer for layer in backbone.network.layers if "norm" in layer.name]
    before = [weight.numpy() for layer in norms for weight in layer.weights]
    features = np.random.default_rng(0).normal(2, 3, (1, 4, 4, 8)).astype(np.float32)
    assert compare_modes(backbone, features) > 1e-3
    for weight, value in zip((w for n in norms for w in n.weights), before, strict=True):
        np.testing.assert_array_equal(weight, value)
