"""Tests of balanced sampling, which draws each class equally often."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console
from support.balancing import COUNTS, phase
from support.cutting import lowest_blocks
from support.feature_runs import small_run
from support.small import COLOURS, write_classes

from tfxfer.config.data import DataConfig
from tfxfer.data.pipeline import make_training_dataset
from tfxfer.data.sampling import draw_evenly
from tfxfer.features.batches import Batching, make_stored_training
from tfxfer.features.feed import make_phase_data
from tfxfer.modalities.pictures.settings import AugmentationConfig
from tfxfer.modalities.pictures.view import augmented_view
from tfxfer.tasks.labels import ClassLabels
from tfxfer.training.load import load_data

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A data set with 24, 12 and 3 training pictures of three classes."""
    root = tmp_path_factory.mktemp("imbalanced")
    write_classes(root / "train", dict(zip(COLOURS, COUNTS, strict=True)))
    for number, split in enumerate(("val", "test"), start=1):
        write_classes(root / split, dict.fromkeys(COLOURS, 4), first_seed=10_000 * number)
    return load_data(DataConfig(source=str(root)), seed=0)


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
        return make_training_dataset(
            pictures.train,
            augmented_view(32, plain),
            class_count=3,
            batch_size=8,
            seed=seed,
            draws_evenly=True,
        )

    epochs = read_epochs(make(), 8)
    assert [len(epoch) for epoch in epochs] == [39 // 8] * 8, "as many steps as without"
    drawn = np.concatenate([y for epoch in epochs for _, y in epoch]).sum(axis=0)
    # In 256 draws, four standard deviations of a binomial are 30.
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
    backbone = lowest_blocks(small_backbone, 2)
    run = small_run(backbone, small_head, tmp_path / "cache", source=pictures.source)
    settings = phase(unfreeze=1, views=views)
    data = make_phase_data(
        run, pictures, phases=[settings], batching=Batching(8, draws_evenly=True)
    )
    assert (data.views, data.steps_per_epoch) == (2 if views == 2 else 0, 4)
    (epoch,) = read_epochs(data.make_training().take(4), 1)
    assert [len(x) for x, _ in epoch] == [8] * 4
    drawn = np.concatenate([y for _, y in epoch]).sum(axis=0)
    assert drawn[2] > 3, "the smallest class comes again"
    if views == 2:
        assert drawn.min() >= 13 - 7 and drawn.max() <= 13, "13 of each, less one batch left out"


def test_a_stored_picture_that_comes_again_shows_its_other_view(make_table):
    features = np.arange(20, dtype=np.float32).reshape(2, 10, 1)
    labels = ClassLabels(np.array([0] * 9 + [1]))
    tables = [make_table(view) for view in features]
    (epoch,) = read_epochs(
        make_stored_training(
            tables, labels, classes=2, batching=Batching(10, draws_evenly=True), seed=0
        ).take(1),
        1,
    )
    rare = [value for x, _ in epoch for value in x[:, 0] if value % 10 == 9]
    assert sorted(rare) == [9, 9, 9, 19, 19] or sorted(rare) == [9, 9, 19, 19, 19]
