"""A network is tried once on a machine: later runs take the engine that was chosen."""

from __future__ import annotations

import numpy as np
import pytest
from support.cutting import lowest_blocks
from support.feature_runs import small_run

from tfxfer.config.data import DataConfig
from tfxfer.features import choose_engine, engines, network
from tfxfer.features.compute import compute_tables
from tfxfer.features.cut import find_cut
from tfxfer.features.trials import Trial, place_of, read_trial, write_trial
from tfxfer.training.load import load_data

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures(picture_folder):
    return load_data(DataConfig(source=str(picture_folder)), seed=0).train


@pytest.fixture
def compute(_tiny, small_head, pictures, tmp_path):
    """A function that computes features of some pictures in a new run, and returns its recorder."""
    backbone = lowest_blocks(_tiny, 2)
    cuts = [find_cut(backbone, small_head, unfrozen) for unfrozen in (0, 1)]

    def compute_some(start, **settings):
        run = small_run(backbone, small_head, tmp_path, **{"engine": "auto", **settings})
        some = pictures.choose(np.arange(start, start + 8))
        compute_tables(run, some, wanted={0: cuts}, split="training")
        return run.recorder

    return compute_some


def refuse(*arguments, **named):
    raise AssertionError("Keras is asked again")


def test_the_next_run_takes_the_engine_and_its_error_without_a_comparison(compute, monkeypatch):
    first = compute(0)
    monkeypatch.setattr(choose_engine, "_ask_keras", refuse)
    later = compute(8)
    assert (later.engine_name, later.clock.items) == (first.engine_name, 8)
    assert later.engine_error == first.engine_error is not None
    stored = compute(8)
    assert stored.clock.items == 0, "all are stored"
    assert stored.engine_error == first.engine_error


def test_an_engine_that_fails_now_is_chosen_anew(compute, monkeypatch):
    monkeypatch.setattr(engines, "list_candidates", lambda: ("tensorflow",))
    monkeypatch.setattr(network, "list_candidates", lambda: ("tensorflow", "odd"))
    assert compute(0).engine_name == "tensorflow"
    calls = iter((OSError("it was removed"), None))
    build = engines.build_tensorflow

    def build_later(prefix):
        error = next(calls)
        if error:
            raise error
        return build(prefix)

    monkeypatch.setitem(engines.ENGINES, "tensorflow", build_later)
    assert compute(8).engine_name == "tensorflow"
    assert next(calls, "none left") == "none left"


def test_a_config_that_names_an_engine_asks_for_itself(compute):
    compute(0)
    assert compute(8, engine="tensorflow").engine_name == "tensorflow"


def test_trials_of_other_layers_engines_and_wishes_have_other_places(tmp_path):
    usual = (["a", "b"], ["tensorflow"])
    places = {
        place_of(tmp_path, *usual, wanted="auto"),
        place_of(tmp_path, *usual, wanted="auto"),
        place_of(tmp_path, ["a"], ["tensorflow"], wanted="auto"),
        place_of(tmp_path, *usual, wanted="tensorflow"),
        place_of(tmp_path, ["a", "b"], ["xla"], wanted="auto"),
    }
    assert len(places) == 4


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"[" * 100_000, b'{"engine": "tensorflow"}', b"\xff",
        b'{"engine": "tensorflow", "error": "x", "items_per_second": null}',
        b'{"engine": "tensorflow", "error": NaN, "items_per_second": null}',
        b'{"engine": ["tensorflow"], "error": 0.1, "items_per_second": 5}',
        b'{"engine": "nonsense", "error": 0.1, "items_per_second": 5}',
    ],
)  # fmt: skip
def test_a_damaged_trial_is_none(content, tmp_path):
    file = place_of(tmp_path, ["a"], ["tensorflow"], wanted="auto")
    assert read_trial(file) is None
    write_trial(file, Trial("tensorflow", 0.1, 5.0))
    assert read_trial(file) == Trial("tensorflow", 0.1, 5.0)
    file.write_bytes(content)
    assert read_trial(file) is None
