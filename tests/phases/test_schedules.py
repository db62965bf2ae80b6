"""Tests of the settings that depend on the number of training pictures."""

from __future__ import annotations

import pytest

from tfxfer.config.phases import PhaseConfig
from tfxfer.phases.schedules import (
    choose_epochs,
    choose_head_epochs,
    choose_mixup,
    choose_views,
    fill_in,
)


def phase(**changes) -> PhaseConfig:
    return PhaseConfig(**{"name": "p", "learning_rate": 1e-3, **changes})


def chosen(settings: PhaseConfig, pictures: int) -> tuple:
    resolved = fill_in(settings, pictures)
    return resolved.epochs, resolved.views, resolved.mixup


@pytest.mark.parametrize(
    ("pictures", "head", "fine_tune"),
    [
        (100, (60, 1, 0.0), (38, 8, 0.0)),
        (1_000, (20, 1, 0.0), (12, 8, 0.0)),
        (50_000, (6, 1, 0.0), (3, 1, 0.1)),
    ],
)
def test_phases_are_as_long_and_as_varied_as_the_data_are_few(pictures, head, fine_tune):
    assert chosen(phase(), pictures) == head
    assert chosen(phase(unfreeze=2), pictures) == fine_tune
    assert chosen(phase(unfreeze="all"), pictures) == fine_tune


def test_more_pictures_never_mean_more_epochs_or_views():
    sizes = [1, 10, 100, 1_000, 1_001, 2_000, 2_001, 19_999, 20_000, 10**6]
    for choose in (choose_epochs, choose_head_epochs, choose_views):
        values = [choose(size) for size in sizes]
        assert values == sorted(values, reverse=True)
    assert (choose_epochs(1), choose_epochs(10**6)) == (40, 3)
    assert (choose_head_epochs(1), choose_head_epochs(10**6)) == (60, 6)
    assert [choose_views(size) for size in sizes] == [8] * 4 + [4] * 2 + [1] * 4
    assert [choose_mixup(size) for size in sizes] == [0.0] * 8 + [0.1] * 2


@pytest.mark.parametrize("pictures", [100, 1_000, 50_000])
@pytest.mark.parametrize("unfreeze", [0, 2])
def test_explicit_values_win(pictures, unfreeze):
    settings = phase(unfreeze=unfreeze, epochs=7, views=3, mixup=0.5)
    assert chosen(settings, pictures) == (7, 3, 0.5)
    assert chosen(phase(unfreeze=unfreeze, mixup=0.0), pictures)[2] == 0.0
    assert chosen(phase(unfreeze=unfreeze, views="stream"), pictures)[1] == "stream"


def test_no_more_views_are_chosen_than_epochs_can_show():
    assert chosen(phase(unfreeze=2, epochs=3), 100) == (3, 3, 0.0)
    assert chosen(phase(unfreeze=2, epochs=3, views=5), 100) == (3, 5, 0.0)


def test_resolving_changes_nothing_else():
    settings = phase(unfreeze=2, layer_decay=0.5, patience=3, precision="float32")
    resolved = fill_in(settings, 1000).model_dump()
    given = settings.model_dump(exclude_none=True)
    assert {key: resolved[key] for key in given} == given
