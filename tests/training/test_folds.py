"""Tests of cross-validation: a run for each fold, one of which is stopped and continued."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from statistics import mean, stdev

import pytest
from rich.console import Console
from support.settings import data_config

import tfxfer
from tfxfer import run
from tfxfer.config.presets import load_config
from tfxfer.errors import InputError, exit_code
from tfxfer.features.store.cache import list_stored
from tfxfer.records.proportions import wilson_interval
from tfxfer.training.folds import run_folds
from tfxfer.training.load import load_data

pytestmark = pytest.mark.slow

PRESET = """
[[phases]]
name = "head"
learning_rate = 3e-3
"""


class StoppedAt(io.StringIO):
    """A terminal at which someone presses Ctrl-C as soon as it shows a text."""

    def __init__(self, text: str):
        super().__init__()
        self.text = text

    def write(self, shown: str) -> int:
        if self.text in shown:
            raise KeyboardInterrupt
        return super().write(shown)


@pytest.fixture
def config(tmp_path, picture_folder, weights_file):
    """Two folds of a head on a tiny network."""
    preset = tmp_path / "head.toml"
    preset.write_text(PRESET)
    return load_config(
        preset,
        data=picture_folder,
        backbone="TinyNet",
        weights=weights_file,
        settings={
            "backbone.image_size_px": 32,
            "data.split.folds": 2,
            "features.cache_dir": str(tmp_path / "cache"),
            "features.engine": "tensorflow",
        },
    )


def test_folds_are_trained_taken_up_again_and_put_together(
    tmp_path, config, picture_folder, capsys
):
    out = tmp_path / "out"

    def stop_at_the_second_fold():
        run_folds(config, out, Console(file=StoppedAt("fold 2 of 2")))

    assert exit_code(stop_at_the_second_fold) == 130
    said = capsys.readouterr().err
    assert f"1 of 2 folds are finished and stay in {out}" in said
    assert {path.name for path in out.iterdir()} == {"fold-1", run.UNFINISHED}
    first = (out / "fold-1" / run.METRICS).read_bytes()

    check_that_other_folds_are_not_mixed_in(out, config, picture_folder)
    # The config file of a run holds everything that its arguments said.
    whole = tmp_path / "whole.toml"
    run.write_config(tmp_path, config)
    (tmp_path / run.CONFIG).rename(whole)
    result = tfxfer.train(whole, out=out, quiet=True)

    assert (out / "fold-1" / run.METRICS).read_bytes() == first, "it was not trained again"
    assert {path.name for path in out.iterdir()} == {"fold-1", "fold-2", run.FOLDS, run.CONFIG}
    assert load_config(out / run.CONFIG) == config
    second = load_config(out / "fold-2" / run.CONFIG)
    assert (second.data.split.folds, second.data.split.fold) == (2, 2)
    check_figures(out, result)
    # The features of each picture were computed once, although it is in several folds' runs.
    assert sum(line.items for line in list_stored(tmp_path / "cache")) == 60
    with pytest.raises(InputError, match="must name a new or an empty folder"):
        tfxfer.train(whole, out=out, quiet=True)


def check_that_other_folds_are_not_mixed_in(out, config, picture_folder):
    other = config.model_copy(update={"seed": 1})
    with pytest.raises(InputError, match="whose folds are of another one"):
        run.check_folder(out, False, None, other)
    picture = next(picture_folder.rglob("*.jpg"))
    status = picture.stat()
    os.utime(picture, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    try:
        with pytest.raises(InputError, match="whose fold 1 was trained on other ones"):
            run_folds(config, out, Console(quiet=True))
    finally:
        os.utime(picture, ns=(status.st_atime_ns, status.st_mtime_ns))


def check_figures(out: Path, result) -> None:
    metrics = [json.loads((out / f"fold-{n}" / run.METRICS).read_text()) for n in (1, 2)]
    accuracies = [fold["test.accuracy"] for fold in metrics]
    assert [fold["test.pictures"] for fold in metrics] == [30, 30]
    assert (result.split, [fold.accuracy for fold in result.folds]) == ("test", accuracies)
    assert result.accuracy_mean == mean(accuracies) > 0.8
    assert result.accuracy_sd == stdev(accuracies)
    right = sum(n for fold in metrics for a, b, n in fold["test.confusion"] if a == b)
    assert result.pooled_accuracy == right / 60
    assert result.pooled_interval == wilson_interval(right, 60)
    written = json.loads((out / run.FOLDS).read_text())
    assert written["accuracy"] == {"mean": result.accuracy_mean, "sd": result.accuracy_sd}
    assert written["macro_f1"]["mean"] == mean(fold["test.macro_f1"] for fold in metrics)
    assert [fold["path"] for fold in written["folds"]] == ["fold-1", "fold-2"]


def test_the_validation_split_is_the_fold_where_the_source_has_a_test_split(tmp_path):
    for fold in (1, 2):
        folder = tmp_path / run.fold_name(fold)
        folder.mkdir()
        figures = {"val.pictures": 10 * fold, "val.accuracy": 0.5 * fold, "val.macro_f1": 0.4}
        (folder / run.METRICS).write_text(json.dumps(figures | {"seconds": 2.0}))
    finished = {fold: {"test": "the same", "validation": str(fold)} for fold in (1, 2)}
    from tfxfer.training.folds import sum_up

    result = sum_up(tmp_path, finished)
    assert (result.split, result.pooled_accuracy, result.seconds) == ("validation", 25 / 30, 4.0)


def test_a_dry_run_says_how_many_runs_there_will_be(config, tmp_path, capsys):
    run.write_config(tmp_path, config)
    plan = tfxfer.plan(tmp_path / run.CONFIG)
    assert plan.counts == {"train": 21, "validation": 9, "test": 30}
    assert "the first of 2 runs" in plan.notes[-1]
    assert "the first of 2 runs" in capsys.readouterr().out.replace("\n", " ")


def test_one_fold_is_an_ordinary_split(picture_folder):
    held_out = [
        load_data(data_config(source=str(picture_folder), folds=3, fold=fold), 0).test.paths
        for fold in (1, 2, 3)
    ]
    assert len(set(held_out[0] + held_out[1] + held_out[2])) == 60


def test_overwrite_takes_folds_of_an_earlier_run_and_no_one_s_folder(tmp_path):
    for name in ("fold-1", "fold-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / run.METRICS).write_text("{}")
    (tmp_path / run.FOLDS).write_text("{}")
    run.check_folder(tmp_path, True, None)
    run.remove_earlier(tmp_path, keep="fold-1")
    assert [path.name for path in tmp_path.iterdir()] == ["fold-1"]
    (tmp_path / "fold-1" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"which holds fold-1\."):
        run.check_folder(tmp_path, True, None)
