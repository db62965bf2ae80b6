"""What every task's row promises, checked for each row of `kinds.TASKS`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.examples import LABELS

from tfxfer.config.head import HeadConfig
from tfxfer.kinds import TASKS
from tfxfer.machine.processes import ALONE
from tfxfer.records.evaluations import Evaluation
from tfxfer.task import Labels, Task

pytestmark = pytest.mark.slow

ROWS = pytest.mark.parametrize("name", TASKS)
CLASSES = ("ant", "bee", "fly")
COUNT = 24


@pytest.fixture
def row(name) -> Task:
    return TASKS[name]


@pytest.fixture
def labels(name, row) -> Labels:
    return row.read(LABELS[name](COUNT, len(CLASSES)))


@pytest.fixture
def targets(labels) -> np.ndarray:
    """What a model is to give for the labels, ``[items, classes]`` float32."""
    return labels.to_targets(tf.constant(labels.rows), len(CLASSES)).numpy()


def hesitate(targets: np.ndarray) -> np.ndarray:
    """Probabilities that are right, and less than sure."""
    return 0.8 * targets + 0.2 / len(CLASSES)


@ROWS
def test_a_row_says_what_it_is(name, row):
    assert row.name == name
    assert name in LABELS, "add labels of the task to tests/support/examples.py"


@ROWS
def test_labels_are_counted_chosen_and_joined(labels, targets):
    assert len(labels) == COUNT
    np.testing.assert_array_equal(labels.count(len(CLASSES)), targets.sum(axis=0))
    some = labels.choose(np.array([1, 3, 4]))
    assert some.list_numbers() == [labels.list_numbers()[row] for row in (1, 3, 4)]
    assert some.join([labels]).list_numbers() == some.list_numbers() + labels.list_numbers()
    assert labels.strata().shape == (COUNT,)
    for numbers, target in zip(labels.list_numbers(), targets, strict=True):
        assert list(numbers) == np.flatnonzero(target).tolist()


@ROWS
def test_labels_are_renamed_to_a_model_s_numbers(labels):
    renamed, stays = labels.rename(np.array([2, 1, 0]), len(CLASSES))
    assert stays.all()
    backwards = [tuple(sorted(2 - n for n in numbers)) for numbers in labels.list_numbers()]
    assert renamed.list_numbers() == backwards


@ROWS
def test_a_right_model_is_right_and_a_wrong_one_is_not(row, labels, targets):
    right = hesitate(targets)
    assert labels.are_right(right).all()
    assert not labels.are_right(1 - targets).any()
    assert labels.agree(right, right).all()
    evaluation = row.evaluate("test", labels, right, CLASSES)
    assert isinstance(evaluation, Evaluation)
    assert evaluation.accuracy == 1.0
    assert evaluation.macro_f1 == 1.0
    assert row.evaluate("test", labels, 1 - targets, CLASSES).accuracy == 0.0


@ROWS
def test_the_objective_follows_what_chooses(row, labels, targets):
    objective = row.make_objective(labels, len(CLASSES))
    assert not objective.keeps_last
    figures = objective.measure(labels, hesitate(targets))
    assert set(figures) == {"accuracy", "cross_entropy", objective.chosen_by}
    assert figures[objective.chosen_by] == objective.score(labels, hesitate(targets)) == 1.0
    assert objective.score(labels, 1 - targets) < 0.6
    names = [metric.name for metric in objective.make_metrics()]
    assert names == ["accuracy", "cross_entropy"]


@ROWS
def test_the_loss_is_least_where_the_model_is_right(row, labels, targets):
    loss = row.make_objective(labels, len(CLASSES)).make_loss(0.0)
    right, wrong = hesitate(targets), hesitate(1 - targets)
    assert float(np.mean(loss(targets, right))) < float(np.mean(loss(targets, wrong)))


@ROWS
def test_a_head_learns_the_labels_from_features_that_tell(row, labels, targets):
    keras.utils.set_random_seed(0)
    head = row.build_head(HeadConfig(dropout=0.0), len(CLASSES), seed=0)
    inputs = keras.Input((len(CLASSES),))
    model = keras.Model(inputs, head.classify(inputs))
    objective = row.make_objective(labels, len(CLASSES))
    metrics = objective.make_metrics()
    model.compile(keras.optimizers.Adam(0.1), objective.make_loss(0.0), metrics=metrics)
    steps = np.tile(targets, (60, 1))  # Each batch holds all items.
    model.fit(steps, steps, batch_size=COUNT, shuffle=False, verbose=0)
    probabilities = model(targets).numpy()
    assert probabilities.dtype == np.float32
    assert probabilities.shape == targets.shape
    assert labels.are_right(probabilities).all()


@ROWS
def test_calibration_makes_a_hesitant_model_as_sure_as_it_is_right(row, labels, targets):
    given = hesitate(targets)
    temperature = row.fit_temperature(labels, given)
    sure = row.apply_temperature(given, temperature)
    assert temperature < 1
    assert row.calibration_error(labels, sure) < row.calibration_error(labels, given)
    back = row.apply_temperature(sure, 1 / temperature)
    np.testing.assert_allclose(back, given, atol=1e-4)


@ROWS
def test_what_a_model_says_is_listed_by_item_and_by_class(row, labels, targets):
    places = [f"{item}.jpg" for item in range(COUNT)]
    results = list(row.list_results(places, labels, hesitate(targets), CLASSES))
    assert [result.path for result in results] == places
    figures = row.list_figures(labels, hesitate(targets), CLASSES)
    assert [figure.name for figure in figures] == list(CLASSES)
    assert all(figure.f1 == 1.0 for figure in figures)
    intervals = row.find_intervals(labels, hesitate(targets))
    assert intervals
    assert all(low <= high for low, high in intervals.values())
    assert row.note_mismatches(labels, hesitate(targets), CLASSES) == []


@ROWS
def test_labels_of_all_processes_are_gathered_as_they_are(labels):
    assert labels.change(ALONE.gather).list_numbers() == labels.list_numbers()
