"""Tests that MixUp and CutMix blend labels in the same shares as examples."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfxfer.features.mixing import draw_seeds, mix_batches

EYE = np.eye(4, dtype=np.float32)


def batches(shape=(6, 6, 2), count=3) -> tf.data.Dataset:
    """Return batches of 4 examples of 4 classes; all values of an example are its class number."""
    classes = np.tile(np.arange(4, dtype=np.float32), count)
    examples = np.ones((4 * count, *shape), np.float32) * classes.reshape(-1, *[1] * len(shape))
    return tf.data.Dataset.from_tensor_slices((examples, np.tile(EYE, (count, 1)))).batch(4)


def mixed(
    mixup, cutmix, seed=0, epochs=4, first_epoch=0, **arguments
) -> list[tuple[np.ndarray, np.ndarray]]:
    dataset = mix_batches(
        batches(**arguments).repeat(epochs),
        mixup=mixup,
        cutmix=cutmix,
        seeds=draw_seeds(seed, 3, first_epoch),
    )
    return [(x.numpy(), y.numpy()) for x, y in dataset]


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0), (0, 1.0), (0.4, 1.0)])
def test_shapes_stay_and_labels_sum_to_one(mixup, cutmix):
    results = mixed(mixup, cutmix)
    assert len(results) == 4 * 3
    for examples, labels in results:
        assert examples.shape == (4, 6, 6, 2)
        np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
        assert labels.min() >= 0
        # The own class of an example keeps the larger part.
        np.testing.assert_array_equal(labels.argmax(axis=1)[np.diag(labels) != 0.5], range(4))
    assert len({labels.tobytes() for _, labels in results}) > 3, "shares are drawn for each batch"


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0), (0, 1.0), (0.4, 1.0)])
def test_the_mean_of_an_example_is_that_of_its_labels(mixup, cutmix):
    """CutMix's pasted area and MixUp's weight equal the share of the other label."""
    for examples, labels in mixed(mixup, cutmix):
        np.testing.assert_allclose(examples.mean(axis=(1, 2, 3)), labels @ np.arange(4), atol=1e-5)


def test_mixup_blends_and_cutmix_pastes_one_rectangle():
    blended = np.concatenate([examples for examples, _ in mixed(0.4, 0)])
    assert np.ptp(blended, axis=(1, 2, 3)).max() == 0, "the same everywhere in an example"
    assert any(value % 1 for value in blended[:, 0, 0, 0]), "and between two classes"
    pasted = np.concatenate([examples for examples, _ in mixed(0, 1.0)])
    assert set(np.unique(pasted)) == {0, 1, 2, 3}
    for example, own in zip(pasted[..., 0], np.tile(np.arange(4), 12), strict=True):
        is_pasted = example != own
        rows, columns = is_pasted.any(axis=1), is_pasted.any(axis=0)
        np.testing.assert_array_equal(is_pasted, rows[:, None] & columns[None])
        assert not rows.any() or np.ptp(np.flatnonzero(rows)) + 1 == rows.sum()
    assert any(
        (example != own).any()
        for example, own in zip(pasted[..., 0], np.tile(np.arange(4), 12), strict=True)
    )


def test_mixup_takes_vectors():
    for examples, labels in mixed(0.4, 0, shape=(5,)):
        np.testing.assert_allclose(examples.mean(axis=1), labels @ np.arange(4), atol=1e-6)


def test_the_seed_decides_the_shares():
    first, again, other = (mixed(0.3, 0.5, seed) for seed in (1, 1, 2))
    for (x, y), (x2, y2) in zip(first, again, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
    assert not all(np.array_equal(x, x2) for (x, _), (x2, _) in zip(first, other, strict=True))
    per_epoch = [first[start][1].tobytes() for start in range(0, len(first), 3)]
    assert len(set(per_epoch)) > 1, "an epoch's shares are its own"


def test_without_parameters_nothing_is_mixed():
    dataset = batches()
    assert mix_batches(dataset, mixup=0, cutmix=0, seeds=draw_seeds(0, 3)) is dataset


def test_a_mixed_data_set_is_as_long_as_before():
    dataset = mix_batches(batches(count=5), mixup=0.2, cutmix=0, seeds=draw_seeds(0, 5))
    assert int(dataset.cardinality()) == 5


def test_a_later_epoch_is_the_same_whoever_begins_with_it():
    whole = mixed(0.4, 1.0, epochs=3)
    later = mixed(0.4, 1.0, epochs=1, first_epoch=2)
    for (ours, _), (theirs, _) in zip(later, whole[6:], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(whole[0][0], whole[3][0])
