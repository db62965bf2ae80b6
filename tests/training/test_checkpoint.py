"""Tests that the state of an unfinished run is read back exactly or not at all."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
from support.small import write_classes

from tfxfer.cache.folder import clear_others, measure_others
from tfxfer.config.data import DataConfig
from tfxfer.config.presets import load_config
from tfxfer.errors import InputError
from tfxfer.phases.keep_best import KeepBest, Standing
from tfxfer.phases.span import load_state
from tfxfer.phases.state import StateError, read_state, write_state
from tfxfer.records.results import PhaseResult
from tfxfer.training.load import load_data
from tfxfer.training.resume.checkpoint import (
    EPOCHS,
    PHASES,
    Begun,
    Checkpoint,
    find_checkpoint,
    write_epochs,
    write_phases,
)
from tfxfer.training.resume.place import FOLDER, name_run, reserve_place

HEAD = PhaseResult(
    name="head", unfrozen=("block",), cut="pooled", views=1, solver="logistic",
    precision="float32", trainable_parameters=15, epochs=0, has_improved=True, best_epoch=0,
    val_accuracy=1 / 3, val_cross_entropy=0.1 + 0.2, seconds=3.0, history={},
)  # fmt: skip
TIMES = {"seconds": 2.0, "input_seconds": 0.5, "prefix_seconds": 0.25}
BEGUN = Begun("fine-tune", 2, "float32", {"loss": [0.3, 0.1]}, TIMES)
AFTER_HEAD = Checkpoint((HEAD,), None, 7.0, "tensorflow", ("a note",))
IN_FINE_TUNING = replace(AFTER_HEAD, begun=BEGUN, seconds=9.0)


def build(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def make_best(model: keras.Model) -> KeepBest:
    best = KeepBest(None, Standing(), items=9)
    best.set_model(model)
    best.on_train_begin()
    best.standing, best.epoch = Standing(0.5, 1.5, 0.5), 2
    best.top, best.top_epoch = Standing(0.6, 1.7, 0.6), 1
    return best


@pytest.fixture
def place(tmp_path):
    """A run that was stopped in its second phase."""
    model = build(1)
    write_phases(tmp_path, model, AFTER_HEAD)
    write_epochs(tmp_path, model, make_best(model), IN_FINE_TUNING)
    return tmp_path


def test_what_was_kept_is_found(place):
    model, kept = build(2), build(1)
    assert find_checkpoint(place, model, pytest.fail) == IN_FINE_TUNING
    for ours, theirs in zip(model.variables, kept.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    best = KeepBest(None, Standing(), items=9)
    load_state(place / EPOCHS, model, best)
    assert (best.standing, best.epoch) == (Standing(0.5, 1.5), 2)
    assert (best.top, best.top_epoch) == (Standing(0.6, 1.7), 1), "patience counts from there"
    np.testing.assert_array_equal(best.weights[0], kept.weights[0])


def test_epochs_of_a_phase_that_is_finished_do_not_count(place):
    finished = replace(AFTER_HEAD, phases=(HEAD, replace(HEAD, name="fine-tune")))
    left = (place / EPOCHS).read_bytes()
    write_phases(place, build(1), finished)
    assert not (place / EPOCHS).exists()
    (place / EPOCHS).write_bytes(left)  # The process might have been killed in between.
    assert find_checkpoint(place, build(1), pytest.fail) == finished


def test_epochs_are_put_before_those_that_follow():
    rest = replace(HEAD, epochs=1, history={"loss": [0.05]}, input_seconds=1.0)
    joined = BEGUN.join(rest)
    assert (joined.epochs, joined.history) == (3, {"loss": [0.3, 0.1, 0.05]})
    assert (joined.seconds, joined.input_seconds, joined.prefix_seconds) == (5.0, 1.5, 0.25)


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def take_shape(path):
    state = read_state(path)
    state.groups["variable"][0] = state.groups["variable"][0][:, :-1]
    write_state(path, state.groups, state.about)


def age(path):
    state = read_state(path)
    versions = {**state.about["versions"], "keras": "2.0"}
    write_state(path, state.groups, {**state.about, "versions": versions})


def strip(path):
    state = read_state(path)
    del state.about["checkpoint"]["begun"]
    write_state(path, state.groups, state.about)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut_off, "damaged"),
        (empty, "damaged"),
        (take_shape, "other shapes"),
        (age, "written by keras 2.0"),
        (strip, "misses 'begun'"),
    ],
)
def test_what_cannot_be_used_is_left_aside_and_said(spoil, reason, place):
    said: list[str] = []
    if spoil is not take_shape:
        spoil(place / EPOCHS)
        assert find_checkpoint(place, build(2), said.append) == AFTER_HEAD
        assert reason in said[0] and "only phase 'head' stays" in said[0]
    spoil(place / PHASES)
    model, fresh = build(2), build(2)
    assert find_checkpoint(place, model, said.append) == Checkpoint()
    assert reason in said[-1] and "the run starts anew" in said[-1]
    for ours, theirs in zip(model.variables, fresh.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_no_flipped_bit_changes_what_is_read(place):
    whole, data = read_state(place / PHASES), (place / PHASES).read_bytes()
    found = 0
    for position in range(0, len(data), 5):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        (place / PHASES).write_bytes(flipped)
        try:
            state = read_state(place / PHASES)
        except StateError:
            found += 1
            continue
        assert state.about == whole.about, position  # The bit may belong to the time in a header.
        for ours, theirs in zip(state.groups["variable"], whole.groups["variable"], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert found > len(data) / 5 / 2


def test_the_state_of_another_model_changes_nothing(place):
    take_shape(place / EPOCHS)
    model, fresh = build(2), build(2)
    with pytest.raises(StateError, match="other shapes"):
        load_state(place / EPOCHS, model, make_best(model))
    np.testing.assert_array_equal(model.weights[0], fresh.weights[0])


def test_a_run_is_known_by_its_config_its_pictures_and_its_first_weights(tmp_path):
    folder = write_classes(tmp_path / "photos", {"amber": 6, "blue": 6})
    config = load_config("photos", data=folder)
    pictures = load_data(DataConfig(source=str(folder)), 0)
    key = name_run(config, pictures, build(0))
    assert name_run(config, load_data(config.data, 0), build(0)) == key
    others = [
        name_run(config.model_copy(update={"seed": 1}), pictures, build(0)),
        name_run(config, replace(pictures, validation=pictures.test), build(0)),
        name_run(config, replace(pictures, classes=("blue", "amber")), build(0)),
        name_run(config, pictures, build(1)),
    ]
    os.utime(folder / "blue" / "000.jpg", (0, 0))
    others.append(name_run(config, load_data(config.data, 0), build(0)))
    assert len({key, *others}) == 6


KEY, OTHER = "0" * 32, "1" * 32


def stop(cache, error: BaseException, key: str = KEY, is_fresh: bool = False) -> list[str]:
    """Keep a finished phase unless there is one, end by an error, and return its notes."""
    with (
        pytest.raises(type(error)) as caught,
        reserve_place(cache, key, is_fresh, pytest.fail) as place,
    ):
        if not (place / PHASES).is_file():
            write_phases(place, build(0), AFTER_HEAD)
        raise error
    return getattr(caught.value, "__notes__", [])


def test_a_place_stays_only_for_who_goes_on(tmp_path):
    place = tmp_path / FOLDER / KEY
    expected = ["the same command goes on after phase 'head'"]
    assert stop(tmp_path, KeyboardInterrupt()) == expected
    assert stop(tmp_path, OSError("disk")) == expected
    assert measure_others(tmp_path)["checkpoints"] > 500
    assert stop(tmp_path, InputError("cannot be done")) == [] and not place.exists()
    with reserve_place(tmp_path, KEY, False, pytest.fail) as given:
        assert given == place
        write_phases(place, build(0), AFTER_HEAD)
        said: list[str] = []
        with reserve_place(tmp_path, KEY, True, said.append) as second:
            assert second is None and "another process is at the same run" in said[0]
        clear_others(tmp_path)
        assert (place / PHASES).is_file()
    assert not place.exists()
    with pytest.raises(KeyboardInterrupt), reserve_place(tmp_path, KEY, False, pytest.fail):
        raise KeyboardInterrupt
    assert not place.exists(), "nothing was kept"


def test_a_place_is_emptied_on_request_and_when_nobody_comes(tmp_path):
    stop(tmp_path, KeyboardInterrupt())
    (tmp_path / FOLDER / KEY / "tensorboard").mkdir()
    with reserve_place(tmp_path, KEY, True, pytest.fail) as place:
        assert list(place.iterdir()) == []
    stop(tmp_path, KeyboardInterrupt())
    mine = tmp_path / FOLDER / "mine"
    shutil.copytree(tmp_path / FOLDER / KEY, mine)
    for path in (tmp_path / FOLDER).iterdir():
        os.utime(path, (0, 0))
    stop(tmp_path, KeyboardInterrupt(), OTHER)
    assert {path.name for path in (tmp_path / FOLDER).iterdir()} == {OTHER, "mine"}


def test_a_cache_that_cannot_be_written_to_is_done_without(tmp_path):
    (tmp_path / FOLDER).write_text("")
    said: list[str] = []
    with reserve_place(tmp_path, KEY, False, said.append) as place:
        assert place is None and "a stopped run starts anew" in said[0]
