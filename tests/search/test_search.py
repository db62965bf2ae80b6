"""Tests of searches on a tiny network, whose trials outlive their processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from rich.console import Console

import tfxfer
from tfxfer import run
from tfxfer.backbones.whole import build_model
from tfxfer.commands.tune import main
from tfxfer.config.presets import dump_config, load_config
from tfxfer.errors import InputError, exit_code
from tfxfer.features.store.cache import list_stored
from tfxfer.machine.processes import ALONE
from tfxfer.records.searches import Trial
from tfxfer.search import folder as places
from tfxfer.search import tuner
from tfxfer.search.locks import lock_of
from tfxfer.search.oracles import ORACLES, make_oracle
from tfxfer.search.score import Bench, BudgetOverError, score_config
from tfxfer.search.search import Wanted, run_search, run_trials
from tfxfer.search.space import make_space, propose
from tfxfer.training.job import prepare
from tfxfer.training.phase import train_phases
from tfxfer.training.resume.keeper import Keeper

pytestmark = pytest.mark.slow

QUIET = Console(quiet=True)
DEEP = {"unfreeze": 2, "phases.fine-tune.learning_rate": 3e-3}


@pytest.fixture
def config(small, picture_folder):
    """A search over three depths and the rate."""
    settings = small["settings"] | {
        "search.unfreeze": [0, 1, 2],
        "search.axes.phases.fine-tune.learning_rate": [1e-3, 3e-3],
        "phases.fine-tune.epochs": 3,
        "phases.fine-tune.views": 2,
    }
    return load_config(
        "photos", data=picture_folder, backbone=small["backbone"], weights=small["weights"],
        settings=settings,
    )  # fmt: skip


@pytest.fixture
def space(config, small_backbone):
    return make_space(config, small_backbone.blocks)


def heads_alone(config):
    """Return a search over four points without fine-tuning, whose heads are fitted quickly."""
    axes = {"head": {"dropout": [0.0, 0.1, 0.2, 0.3]}}
    search = config.search.model_copy(update={"unfreeze": (0,), "axes": axes})
    return config.model_copy(update={"search": search})


def start(folder: Path, config, **asked) -> Path:
    places.check_folder(folder, config, {"tuner": "random", "objective": None} | asked, False)
    return folder


def test_a_trial_is_what_training_the_same_config_comes_to(config, space, tmp_path):
    chosen = propose(config, space, DEEP)
    bench = Bench(space.depths, QUIET)
    first = score_config(chosen, bench, Trial(1, DEEP), tmp_path / "trial")
    again = score_config(chosen, bench, Trial(2, DEEP), tmp_path / "again")  # Its head is known.
    path = tmp_path / "chosen.toml"
    path.write_text(dump_config(chosen))
    job = prepare(load_config(path), QUIET, share=ALONE)
    *_, last = train_phases(
        job,
        build_model(job.backbone, job.head),
        keeper=Keeper(None, job.features, 0.0),
        staging=tmp_path / "run",
    )
    for trial in (first, again):
        assert trial.status == "done"
        assert (trial.accuracy, trial.cross_entropy) == (last.val_accuracy, last.val_cross_entropy)
        assert trial.right.count("1") == round(trial.accuracy * trial.pictures)
        assert (trial.epochs, trial.unfrozen) == (3, 2)


def test_one_pass_stores_what_all_depths_need(config, space, tmp_path, own_cache):
    bench = Bench(space.depths, QUIET)
    score_config(propose(config, space, DEEP), bench, Trial(1, DEEP), tmp_path / "1")
    before = {path: path.stat().st_mtime_ns for path in own_cache.rglob("*") if path.is_file()}
    assert len({line.about["cut"] for line in list_stored(own_cache)}) == 3
    for number, depth in enumerate((1, 0), start=2):
        values = {"unfreeze": depth}
        done = score_config(
            propose(config, space, values), bench, Trial(number, values), tmp_path / str(number)
        )
        assert (done.status, done.unfrozen) == ("done", depth)
    after = [path for path in own_cache.rglob("*") if path.is_file() and path.suffix == ".npy"]
    assert all(path in before for path in after), "nothing was computed again"


def test_a_trial_that_cannot_be_trained_fails_and_says_why(config, space, tmp_path):
    chosen = propose(config, space, DEEP)
    unsolvable = {
        "head": chosen.head.model_copy(update={"kind": "mlp"}),
        "phases": (chosen.phases[0].model_copy(update={"solver": "logistic"}), chosen.phases[1]),
    }
    broken = chosen.model_copy(update=unsolvable)
    done = score_config(broken, Bench((), QUIET), Trial(1, DEEP), tmp_path)
    assert done.status == "failed" and "fits a linear head" in done.message


def test_the_time_ends_a_trial_between_epochs(config, space, tmp_path):
    chosen = propose(config, space, DEEP | {"phases.fine-tune.epochs": 3})
    long = chosen.phases[-1].model_copy(update={"epochs": 100_000})
    chosen = chosen.model_copy(update={"phases": (chosen.phases[0], long)})
    looks: list[float | None] = []

    class Ending(Bench):
        """The time of this search is over when it is looked at for the fifth time."""

        def check_time(self):
            looks.append(self.until)
            if len(looks) == 5:
                self.until = time.time()
            super().check_time()

    with pytest.raises(BudgetOverError):
        score_config(chosen, Ending((), QUIET), Trial(1, DEEP), tmp_path)
    assert looks == [None] * 5, "nothing is trained after the look at which the time was over"


def test_a_search_is_resumed_and_leaves_a_preset_pictures_and_the_winners_run(
    config, tmp_path, capsys
):
    out = tmp_path / "out"
    preset = tmp_path / "search.toml"
    preset.write_text(dump_config(config))
    over = start(out, config)
    _, is_complete = run_trials(config, Wanted(3, until=time.time() - 1), over, QUIET)
    assert not is_complete and places.load_trials(out) == []
    result = tfxfer.tune(preset, trials=2, out=out, quiet=True)

    assert result.is_complete and len(result.trials) == 3
    assert result.trials[0].score == max(trial.score for trial in result.trials)
    held = json.loads((out / places.RESULT).read_text())
    assert held["verdict"] == result.verdict and len(held["trials"]) == 3
    assert held["best"]["test.accuracy"] == result.best.test.accuracy
    for name in places.FIGURES:
        assert np.asarray(Image.open(out / name).convert("L")).std() > 5
    assert load_config(out / places.CONFIG).search is None
    assert (out / places.BEST / run.METRICS).is_file()

    # The same call trains no trial again, and a call for more trials goes on.
    marks = {path: path.stat().st_mtime_ns for path in (out / places.TRIALS).rglob("trial.r*.json")}
    more = tfxfer.tune(preset, trials=3, out=out, retrain=True, quiet=True)
    assert len(more.trials) == 4
    counts = more.best.plan.counts
    assert counts["train"] == result.best.plan.counts["train"] + counts["validation"]
    assert more.best.phases[0].inverse_penalty == more.winner.inverse_penalty
    assert more.best.phases[-1].best_epoch == more.best.phases[-1].epochs  # It is the last one.
    assert any("trained on too" in note for note in more.best.plan.notes)
    assert all(path.stat().st_mtime_ns == mark for path, mark in marks.items())

    # What comes to nothing leaves nothing.
    with pytest.raises(InputError, match="last phase that unfreezes"):
        settings = {"phases.fine-tune.unfreeze": 0}
        tfxfer.tune(preset, settings=settings, out=tmp_path / "none", quiet=True)
    assert not (tmp_path / "none").exists()

    with pytest.raises(InputError, match="begun with another tuner"):
        tfxfer.tune(preset, trials=4, tuner="grid", out=out, quiet=True)
    assert exit_code(lambda: tfxfer.tune(preset, out=tmp_path, quiet=True)) == 2
    assert "search.toml" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["random", "bayesian", "grid"])
def test_a_search_that_is_asked_for_more_trials_proposes_new_ones(config, tmp_path, name):
    config = heads_alone(config)
    out = start(tmp_path / "out", config, tuner=name)
    run_trials(config, Wanted(2, name), out, QUIET)
    assert len(places.load_trials(out)) == 3
    _, is_complete = run_trials(config, Wanted(5, name), out, QUIET)
    trials = places.load_trials(out)[1:]
    assert is_complete and 4 <= len(trials) <= 5  # There are four points.
    assert len({json.dumps(trial.values, sort_keys=True) for trial in trials}) == 4


def test_a_longer_rung_goes_on_from_the_shorter_ones_weights(config, space, tmp_path):
    out = start(tmp_path / "out", config, tuner="hyperband")
    run_trials(config, Wanted(4, "hyperband"), out, QUIET)
    *short, long = places.load_trials(out)[1:]
    assert [(trial.epochs, trial.is_cut_short) for trial in short] == [(1, True)] * 3
    assert (long.epochs, long.is_cut_short) == (3, False)
    best = max(short, key=lambda trial: trial.score)
    assert long.continues in {t.number for t in short if t.score == best.score}
    # The result equals that of a training without a break.
    straight = score_config(
        propose(config, space, long.values), Bench((), QUIET), Trial(9, long.values), tmp_path
    )
    assert straight.accuracy == long.accuracy
    assert straight.cross_entropy == pytest.approx(long.cross_entropy, rel=1e-4)
    assert straight.inverse_penalty == long.inverse_penalty


def test_hyperband_shares_out_the_epochs_itself(config, tmp_path):
    search = config.search.model_copy(
        update={"axes": {"phases": {"fine-tune": {"epochs": [1, 2]}}}}
    )
    changed = config.model_copy(update={"search": search})
    out = start(tmp_path / "out", changed, tuner="hyperband")
    with pytest.raises(InputError, match="axis of epochs"):
        run_trials(changed, Wanted(4, "hyperband"), out, QUIET)


def test_an_unknown_objective_is_refused(config, tmp_path):
    out = start(tmp_path / "out", config)
    with pytest.raises(InputError, match="val_accuracy, val_cross_entropy"):
        run_search(config, Wanted(2, objective="val_loss"), out, QUIET)


def oracle_in(folder: Path, space, name: str, trials: int = 4):
    oracle = make_oracle(
        name, space, objective="val_accuracy", trials=trials, epochs=3, seed=0, search=folder
    )
    oracle._set_project_dir(str(folder), places.TRIALS)
    return oracle


@pytest.mark.parametrize("name", ["random", "bayesian", "grid"])
def test_no_trial_is_lost_or_run_twice_when_an_oracle_dies(space, tmp_path, name):
    oracle = oracle_in(tmp_path, space, name)
    with lock_of(tmp_path, "one"), lock_of(tmp_path, "two"), lock_of(tmp_path, "three"):
        done, dead, alive = (oracle.create_trial(name) for name in ("one", "two", "three"))
    oracle.update_trial(done.trial_id, {"val_accuracy": 0.5})
    done.status = "COMPLETED"
    oracle.ongoing_trials["one"] = done
    state = json.dumps(oracle.get_state())  # `one` is still on its list.
    oracle.end_trial(done)
    Path(oracle._get_oracle_fname()).write_text(state)
    stray = tmp_path / places.TRIALS / "trial_3"  # The oracle has not noted it yet.
    stray.mkdir()
    (stray / "trial.json").write_text(
        (tmp_path / places.TRIALS / "trial_2" / "trial.json").read_text().replace('"2"', '"3"')
    )
    with lock_of(tmp_path, "three"), lock_of(tmp_path, "four"):
        # Another process holds the lock of `three`, so `three` is alive.
        again = oracle_in(tmp_path, space, name)
        again.reload()
        assert set(again.ongoing_trials) == {"three"}
        assert again.ongoing_trials["three"].trial_id == alive.trial_id
        assert again._retry_queue == [dead.trial_id]
        assert again.create_trial("four").trial_id == dead.trial_id
        assert again.create_trial("five").trial_id == "3"
    assert again.create_trial("six").trial_id in {dead.trial_id, alive.trial_id, "3"}


@pytest.mark.parametrize("name", list(ORACLES))
def test_an_oracle_that_was_killed_goes_on_where_it_was(space, tmp_path, name):
    """Each trial is asked of an oracle that begins anew; more trials are asked for on the way."""
    proposed = []
    for number in range(4):
        oracle = oracle_in(tmp_path, space, name, trials=2 if number < 2 else 4)
        oracle.reload() if number else oracle.save()
        with lock_of(tmp_path, f"worker{number}"):
            trial = oracle.create_trial(f"worker{number}")
            assert trial.status == "RUNNING", (number, trial.status)
            proposed.append(json.dumps(trial.hyperparameters.values, sort_keys=True))
            oracle.update_trial(trial.trial_id, {"val_accuracy": number / 10})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
    known = [each for each in proposed if "tuner/" not in each]
    assert len(set(known)) == len(known)
    stopped = oracle_in(tmp_path, space, name, trials=4)
    stopped.reload()
    assert stopped.create_trial("last").status == "STOPPED"


def test_one_process_at_a_time_is_a_worker(config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tuner, "_LOCK_SECONDS", 0.1)
    out, preset = start(tmp_path / "out", config), tmp_path / "search.toml"
    preset.write_text(dump_config(config))
    with lock_of(out, "tuner0").acquire(timeout=0):
        assert main(["--preset", str(preset), "--out", str(out), "--trials", "1"]) == 2
    said = capsys.readouterr().err
    assert "'tuner0'" in said and "at work" in said


def test_two_workers_finish_when_one_and_the_chief_are_killed(config, tmp_path, own_cache, capfd):
    out, preset = tmp_path / "out", tmp_path / "search.toml"
    preset.write_text(dump_config(heads_alone(config)))
    command = ["--preset", str(preset), "--out", str(out), "--trials", "2", "--workers", "2"]
    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill_one_worker_and_the_chief, out)
        code = main(command)
        killing.result()
    said = capfd.readouterr().out
    assert code == 0, said
    assert "worker-1 ended with code -9 and is started again" in said
    assert "chief ended with code -9 and is started again" in said
    numbers = [trial.number for trial in places.load_trials(out)]
    assert numbers == [0, 1, 2] and places.count_open(out) == 0
    assert said.count("validation accuracy") >= 3
    assert (out / places.RESULT).is_file()


def kill_one_worker_and_the_chief(out: Path) -> None:
    """Kill them at the first trial, and let the new worker begin only when all trials are over."""
    wait_for(lambda: (out / places.TRIALS / "trial_0").is_dir())
    killed = {name: process_of(name) for name in ("worker-1", "chief")}
    for pid in killed.values():
        os.kill(pid, signal.SIGKILL)
    for name, pid in killed.items():
        wait_for(lambda n=name, p=pid: find_process(n) not in (None, p))
    # The restarted worker begins when all trials are over and no chief answers.
    late = process_of("worker-1")
    os.kill(late, signal.SIGSTOP)
    try:
        wait_for(lambda: find_process("chief") is None)
    finally:
        os.kill(late, signal.SIGCONT)


def wait_for(is_there, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not is_there():
        assert time.monotonic() < end
        time.sleep(0.05)


def process_of(name: str) -> int:
    """Return the started process to which KerasTuner's environment gives this name."""
    pid = find_process(name)
    assert pid is not None, f"{name} is not there"
    return pid


def find_process(name: str) -> int | None:
    """Return the same process, or None if it has ended."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # The process may end meanwhile.
            if child.environ().get("KERASTUNER_TUNER_ID") == name:
                return child.pid
    return None
