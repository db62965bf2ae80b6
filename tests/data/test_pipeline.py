"""Tests of the pipeline from encoded pictures to batches."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfxfer.config.data import DataConfig
from tfxfer.data.parts import draw_stratified
from tfxfer.data.pipeline import (
    make_evaluation_dataset,
    make_training_dataset,
    make_view_batches,
)
from tfxfer.errors import InputError
from tfxfer.modalities.pictures.augment import decode_augmented
from tfxfer.modalities.pictures.settings import AugmentationConfig
from tfxfer.modalities.pictures.view import augmented_view, plain_view
from tfxfer.training.load import load_data

PLAIN = AugmentationConfig(crop_min_area=1, flip=False, colour=0)


@pytest.fixture(scope="module")
def pictures(picture_folder):
    return load_data(DataConfig(source=str(picture_folder)), seed=0).train


def epochs(pictures, seed, count=2, augmentation=None):
    augmentation = augmentation or AugmentationConfig()
    dataset = make_training_dataset(
        pictures, augmented_view(32, augmentation), class_count=3, batch_size=8, seed=seed
    )
    return [[(x.numpy(), y.numpy()) for x, y in dataset] for _ in range(count)]


def test_evaluation_gives_every_picture_once_in_order(pictures):
    batches = list(make_evaluation_dataset(pictures, plain_view(32), class_count=3, batch_size=8))
    assert [len(x) for x, _ in batches] == [8, 8, 8, 8, 8, 2]
    labels = np.concatenate([y.numpy().argmax(axis=1) for _, y in batches])
    np.testing.assert_array_equal(labels, pictures.labels.numbers)
    assert batches[0][0].shape == (8, 32, 32, 3)
    assert batches[0][0].dtype == tf.float32
    assert np.min(batches[0][0]) >= 0 and 30 < np.max(batches[0][0]) <= 255


def test_views_are_read_in_order_by_batches_as_the_data_set_gives_them(pictures):
    whole = make_evaluation_dataset(pictures, plain_view(32), class_count=3, batch_size=8)
    batches = list(make_view_batches(pictures, plain_view(32), batch_size=8))
    for ours, (theirs, _) in zip(batches, whole, strict=True):
        assert isinstance(ours, np.ndarray)
        np.testing.assert_array_equal(ours, theirs)


def test_a_source_that_has_lost_items_since_it_was_listed_is_an_error(pictures):
    class Shorter:
        """Items of which the last ones are gone."""

        labels = pictures.labels

        def encoded(self):
            return pictures.encoded().take(20)

    views = make_view_batches(Shorter(), plain_view(32), batch_size=8)
    with pytest.raises(InputError, match="24 items of one that had 42"):
        list(views)


def test_training_shuffles_and_augments_anew_each_epoch(pictures):
    first, second = epochs(pictures, seed=1)
    assert [len(x) for x, _ in first] == [8] * 5, "the last, smaller batch is left out"
    assert not np.array_equal(first[0][0], second[0][0])
    seen = np.concatenate([y.argmax(axis=1) for _, y in first])
    assert len(set(seen[:8])) > 1, "classes are mixed"


def test_the_same_seed_gives_the_same_epochs(pictures):
    for one, other in zip(epochs(pictures, 1), epochs(pictures, 1), strict=True):
        for (x, y), (x2, y2) in zip(one, other, strict=True):
            np.testing.assert_array_equal(x, x2)
            np.testing.assert_array_equal(y, y2)
    assert not np.array_equal(epochs(pictures, 1)[0][0][0], epochs(pictures, 2)[0][0][0])


def test_without_augmentation_training_sees_what_evaluation_sees(pictures):
    shown = make_evaluation_dataset(pictures, plain_view(32), class_count=3, batch_size=8)
    evaluation = {x.tobytes() for batch, _ in shown for x in batch.numpy()}
    (batches,) = epochs(pictures, 3, count=1, augmentation=PLAIN)
    training = [x.tobytes() for batch, _ in batches for x in batch]
    assert len(set(training)) == 40
    assert set(training) <= evaluation


@pytest.mark.parametrize(
    ("change", "keeps_colours"),
    [
        ({"crop_min_area": 0.3}, False),
        ({"flip": True}, True),
        ({"rotate": True}, True),
        ({"colour": 0.5}, False),
    ],
)
def test_each_augmentation_changes_the_picture_and_keeps_its_range(change, keeps_colours):
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    encoded = tf.io.encode_png(picture)
    config = AugmentationConfig(**{**PLAIN.model_dump(), **change})
    results = [decode_augmented(encoded, [1, seed], config, 32).numpy() for seed in range(12)]
    assert len({result.tobytes() for result in results}) > 1
    for result in results:
        assert result.shape == (32, 32, 3)
        assert result.min() >= 0
        assert result.max() <= 255
        if keeps_colours:
            np.testing.assert_allclose(np.sort(result, axis=None), np.sort(picture, axis=None))


def test_a_single_small_batch_is_kept(pictures):
    few = pictures.choose(np.arange(5))
    (batch,) = list(
        make_training_dataset(few, augmented_view(32, PLAIN), class_count=3, batch_size=8, seed=0)
    )
    assert len(batch[0]) == 5


def test_a_stratified_draw_is_complete_and_keeps_the_mixture():
    labels = np.array([0] * 50 + [1] * 10 + [2] * 2)
    kept, taken = draw_stratified(labels, 0.2, seed=0)
    np.testing.assert_array_equal(np.bincount(labels[taken]), [10, 2, 1])
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, taken])), np.arange(62))
