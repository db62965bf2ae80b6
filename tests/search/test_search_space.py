"""Tests of the space of a search, of the configs of its points, and of the ranking."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace

import pytest
from support.small import outline

import tfxfer
from tfxfer.backbones.blocks import list_blocks
from tfxfer.commands.tune import parse_budget
from tfxfer.config.presets import dump_config, load_config
from tfxfer.config.search import Range
from tfxfer.errors import InputError
from tfxfer.modalities.pictures.networks.families import NETWORKS
from tfxfer.records.searches import Trial
from tfxfer.search.oracles import declare
from tfxfer.search.ranking import depth_verdict, rank, standard_error
from tfxfer.search.space import ladder, make_space, propose


def space_of(config):
    name = config.backbone.name
    return make_space(config, list_blocks(outline(name), NETWORKS[name]))


def load(preset="photos", **settings):
    return load_config(preset, backbone="MobileNetV2", settings=settings)


def test_depths_go_from_none_to_all_where_nobody_named_them():
    assert ladder(18) == (0, 1, 2, 4, 8, 16, 18)
    assert ladder(1) == (0, 1)
    space = space_of(load("pets"))
    assert (space.depths, space.blocks) == ((0, 1, 2, 4, 8, 16, 18), 18)
    assert space.axes["phases.fine-tune.layer_decay"] == (0.7, 0.85, 1.0)
    rate = load("pets").phases[-1].learning_rate
    expected = Range(low=rate / 4, high=rate * 4, log=True)
    assert space.axes["phases.fine-tune.learning_rate"] == expected


def test_depths_are_numbers_names_or_all():
    config = load(**{"search.unfreeze": [0, "block_16", "all", 3]})
    assert space_of(config).depths == (0, 2, 3, 18)
    with pytest.raises(InputError, match="block_99"):
        space_of(load(**{"search.unfreeze": ["block_99"]}))


def test_a_point_is_a_config_and_what_does_not_count_is_passed_over():
    config = load(**{"search.axes.phases.1.label_smoothing": [0.0, 0.1],
                     "search.axes.head.dropout": [0.0, 0.5]})  # fmt: skip
    space = space_of(config)
    values = {"unfreeze": 4, "phases.fine-tune.label_smoothing": 0.0, "head.dropout": 0.5}
    deep = propose(config, space, values)
    assert [phase.unfreeze for phase in deep.phases] == [0, 4]
    assert (deep.phases[1].label_smoothing, deep.head.dropout) == (0.0, 0.5)
    assert deep.search is None and "[search]" not in dump_config(deep)
    alone = propose(config, space, values | {"unfreeze": 0})
    assert [phase.name for phase in alone.phases] == ["head"]
    assert alone.head.dropout == 0.5
    assert propose(config, space, {"unfreeze": 18}).phases[1].unfreeze == "all"


def test_phases_that_unfreeze_as_much_as_the_last_are_left_out():
    config = load("flowers")
    space = space_of(config)
    names = {
        depth: [p.name for p in propose(config, space, {"unfreeze": depth}).phases]
        for depth in (0, 2, 4, 8)
    }
    assert names == {
        0: ["head"],
        2: ["head", "deeper"],
        4: ["head", "deeper"],
        8: ["head", "top", "deeper"],
    }


def test_another_network_has_its_own_size_and_no_more_blocks_than_it_has():
    config = load("birds", **{"search.axes.backbone.name": ["MobileNetV2", "VGG16"]})
    config = config.model_copy(
        update={"backbone": config.backbone.model_copy(update={"alpha": 0.35})}
    )
    space = space_of(config)
    other = propose(config, space, {"unfreeze": 12, "backbone.name": "VGG16"})
    assert (other.backbone.name, other.backbone.alpha) == ("VGG16", None)
    assert other.phases[1].unfreeze == "all"  # The network has five blocks.
    same = propose(config, space, {"unfreeze": 12, "backbone.name": "MobileNetV2"})
    assert (same.backbone.alpha, same.phases[1].unfreeze) == (0.35, 12)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"search.axes.data.split.shots": [1, 2]}, r"Received: 'data\.split\.shots'"),
        ({"search.axes.seed": [1, 2]}, r"Received: 'seed'"),
        ({"search.axes.phases.fine-tune.unfreeze": [1]}, r"search\.unfreeze"),
        ({"search.axes.head.dropout": []}, r"head\.dropout = \[\]"),
        ({"search.axes.head.dropout": [0.1, "much"]}, r"list of values of one kind"),
        ({"search.axes.head.dropout": {"low": 0.5, "high": 0.1}}, r"low=0\.5, high=0\.1"),
        ({"search.axes.head.dropout": {"low": 0, "high": 0.1, "log": True}}, r"above 0"),
        ({"search.axes.head.drop": [0.1]}, r"unknown key 'head\.drop'.*dropout"),
        ({"search.axes.head.dropout": [0.1, 1.5]}, r"head\.dropout = 1\.5"),
        ({"search.axes.head.pooling": ["max"], "head.levels": 6}, r"levels=6, pooling='max'"),
        ({"phases.fine-tune.unfreeze": 0}, r"last phase that unfreezes"),
        ({"search.unfreeze": []}, r"search\.unfreeze"),
    ],
)
def test_what_cannot_be_searched_is_named(settings, expected):
    with pytest.raises(InputError, match=expected):
        space_of(load(**settings))


def test_axes_of_unfrozen_blocks_are_proposed_for_unfrozen_blocks_alone():
    space = space_of(load(**{"search.axes.head.dropout": [0.0, 0.5],
                             "search.axes.phases.fine-tune.layer_decay": [0.7, 1.0]}))  # fmt: skip
    declared = declare(space)
    by_name = {each.name: each for each in declared.space}
    assert by_name["unfreeze"].values == [0, 1, 2, 4, 6, 9]
    declared.values["unfreeze"] = 0
    assert declared.is_active(by_name["head.dropout"])
    assert not declared.is_active(by_name["phases.fine-tune.layer_decay"])
    declared.values["unfreeze"] = 4
    assert declared.is_active(by_name["phases.fine-tune.layer_decay"])
    # Without axes of the head, the head alone need not be proposed, because it is trained anyway.
    plain = {each.name: each for each in declare(space_of(load())).space}
    assert plain["unfreeze"].values == [1, 2, 4, 6, 9]


def test_a_grid_takes_a_range_in_even_steps():
    steps = Range(low=1e-4, high=1e-2, log=True, steps=3).spread()
    assert [f"{step:.2g}" for step in steps] == ["0.0001", "0.001", "0.01"]
    assert Range(low=0, high=1).spread() == [0, 0.25, 0.5, 0.75, 1]


def trial(number: int, unfrozen: int, right: str, **changes) -> Trial:
    accuracy = right.count("1") / len(right)
    given = Trial(number, {"unfreeze": unfrozen}, "done", unfrozen=unfrozen, blocks=17,
                  accuracy=accuracy, score=accuracy, right=right, pictures=len(right),
                  trainable_parameters=100 * unfrozen, cross_entropy=1 - accuracy)  # fmt: skip
    return replace(given, **changes)


def test_the_best_comes_first_and_of_equal_ones_the_cheapest():
    best, same, worse = trial(1, 8, "1110"), trial(2, 4, "0111"), trial(3, 2, "1100")
    failed = Trial(4, {}, "failed", message="too large")
    ranked = rank([failed, best, worse, same], "val_accuracy")
    assert [each.number for each in ranked] == [2, 1, 3, 4]
    lower = replace(worse, cross_entropy=0.01)
    assert rank([best, lower], "val_cross_entropy")[0].number == 3


def test_a_rung_gives_way_to_the_one_that_goes_on_with_it():
    short, long = trial(1, 4, "1111", is_cut_short=True), trial(2, 4, "1110", continues=1)
    other = trial(3, 4, "1111", is_cut_short=True)
    assert [each.number for each in rank([short, long, other], "val_accuracy")] == [2, 3]


def test_the_error_of_a_difference_counts_the_pictures_on_which_they_differ():
    one, other = trial(1, 4, "11110000"), trial(2, 2, "11000001")
    # Of 8 pictures, 2 are right only by the one and 1 only by the other.
    assert standard_error(one, other) == pytest.approx(math.sqrt(3 - 1 / 8) / 8)
    assert standard_error(one, one) == 0
    unknown = [replace(each, right="") for each in (one, other)]
    variances = 0.5 * 0.5 / 8 + 3 / 8 * 5 / 8 / 8
    assert standard_error(*unknown) == pytest.approx(math.sqrt(variances))


def test_the_verdict_says_what_depth_gains():
    head, two = trial(0, 0, "1" * 80 + "0" * 20), trial(1, 2, "1" * 82 + "0" * 18)
    four, nine = trial(2, 4, "1" * 90 + "0" * 10), trial(3, 9, "1" * 85 + "0" * 15)
    say = lambda *trials: depth_verdict(rank(trials, "val_accuracy"))  # noqa: E731
    assert say(head, two, four, nine) == (
        "unfreezing 4 of 17 blocks gains 10.0 ± 3.0 points over the head alone; "
        "deeper gains nothing"
    )
    near = trial(4, 2, "0" + "1" * 88 + "01" + "0" * 9)
    assert say(head, near, four).endswith("with 2 it comes to the same within the noise")
    assert say(head, trial(1, 2, "1" * 70 + "0" * 30)).startswith(
        "unfreezing gains nothing over the head alone (0.800): -10.0 ± 3.0 points"
    )
    assert "no trial unfroze blocks" in say(head)


def test_budgets_are_times():
    assert [parse_budget(text) for text in ("90s", "10m", "1.5h", "45")] == [90, 600, 5400, 45]
    with pytest.raises(InputError, match="Received: 'soon'"):
        parse_budget("soon")


def test_a_search_lies_in_a_folder_of_this_machine():
    with pytest.raises(InputError, match="folder of this machine"):
        tfxfer.tune("birds", out="gs://bucket/search", quiet=True)
    assert list(inspect.signature(tfxfer.tune).parameters)[:2] == ["preset", "trials"]
