"""What chooses is computed as what is served, whatever engine computes the training features."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console
from support.cutting import lowest_blocks
from support.feature_runs import small_run
from support.parts import head_config, judge_model

from tfxfer.backbones.whole import build_model
from tfxfer.config.data import DataConfig
from tfxfer.data.pipeline import make_view_batches
from tfxfer.features import engines
from tfxfer.features.choose_engine import SERVED_TOLERANCE, Reference, choose_served
from tfxfer.features.compute import compute_tables
from tfxfer.features.cut import build_prefix, find_cut
from tfxfer.machine.compiled import call_model
from tfxfer.machine.processes import ALONE
from tfxfer.modalities.pictures.view import plain_view
from tfxfer.training.job import prepare
from tfxfer.training.load import load_data
from tfxfer.training.phase import train_phases
from tfxfer.training.resume.keeper import Keeper

pytestmark = pytest.mark.slow

PHASES = [
    {"name": "head", "learning_rate": 1e-2},
    {"name": "top", "unfreeze": 2, "epochs": 2, "views": 2, "learning_rate": 1e-3},
]


def build_rough(prefix):
    """Return an engine whose features are as rough as bfloat16 makes those of some networks."""
    run, generator = engines.build_tensorflow(prefix), np.random.default_rng(0)

    def roughen(part):
        spread = part.std() * 0.15
        return part + generator.normal(0, spread, part.shape).astype(np.float32)

    return lambda batches: ([roughen(part) for part in parts] for parts in run(batches))


@pytest.fixture
def rough_engine(monkeypatch):
    """Lets the engine OpenVINO be rough, but not its form in float32."""
    monkeypatch.setitem(engines.ENGINES, "openvino", build_rough)


@pytest.mark.usefixtures("rough_engine")
@pytest.mark.parametrize(
    ("views", "precision"),
    [(2, "float32"), ("stream", "float32"), (2, "mixed_bfloat16"), (2, "bfloat16_rewrite")],
)
def test_a_phase_s_last_figures_are_those_of_the_model_that_is_kept(
    views, precision, picture_folder, small, tmp_path
):
    pytest.importorskip("openvino")
    phases = [PHASES[0], PHASES[1] | {"views": views, "precision": precision}]
    chosen = {"features.engine": "openvino", "features.cache_dir": str(tmp_path), "phases": phases}
    config = head_config(picture_folder, small["weights"], **chosen)
    job = prepare(config, Console(quiet=True), share=ALONE)
    model = build_model(job.backbone, job.head)
    told: list[np.ndarray] = []
    keeper = Keeper(None, job.features, 0.0)
    *_, last = train_phases(job, model, keeper=keeper, staging=tmp_path, tell=told.append)
    assert job.features.recorder.engine_name == "openvino"
    assert job.features.recorder.engine_error > 0.05
    # This runs the whole network on the pictures, as a server does.
    validation, _, _ = judge_model(model, job.items, False)
    assert last.val_accuracy == validation.accuracy
    assert last.val_cross_entropy == pytest.approx(validation.cross_entropy, abs=1e-4)
    given = job.items.task.evaluate(
        "validation", job.items.validation.labels, told[-1], job.items.classes
    )
    assert given.cross_entropy == pytest.approx(validation.cross_entropy, abs=1e-4)


@pytest.mark.usefixtures("rough_engine")
def test_served_features_are_stored_in_float32_beside_rough_ones(
    picture_folder, _tiny, small_head, tmp_path
):
    pytest.importorskip("openvino")
    items = load_data(DataConfig(source=str(picture_folder)), seed=0).validation
    backbone = lowest_blocks(_tiny, 2)
    cut = find_cut(backbone, small_head, 1)
    run = small_run(backbone, small_head, tmp_path, engine="openvino")
    prefixes = run.hash_prefixes([cut])
    tables = [
        compute_tables(each, items, wanted={0: [cut]}, split="validation", prefixes=prefixes)
        for each in (run, run.as_served(), run, run.as_served())
    ]
    rough, served, *again = (table[0, cut] for table in tables)
    assert len(run.references) == 1, "Keras is asked once for both engines"
    assert served.dtype == "float32"
    views = make_view_batches(items, plain_view(32), batch_size=16)
    prefix = build_prefix(backbone, small_head, [cut])
    expected = np.concatenate([call_model(prefix)(batch)[0] for batch in views])
    np.testing.assert_allclose(served.read(), expected, atol=1e-4 * abs(expected).max())
    assert abs(rough.read().astype(np.float32) - expected).max() > 0.01 * abs(expected).max()
    for first, second in zip((rough, served), again, strict=True):
        np.testing.assert_array_equal(first.read(), second.read())


def test_an_engine_that_is_not_exact_does_not_compute_what_is_served(
    _tiny, small_head, monkeypatch
):
    backbone = lowest_blocks(_tiny, 2)
    prefix = build_prefix(backbone, small_head, [find_cut(backbone, small_head, 1)])
    pictures = np.random.default_rng(0).uniform(0, 255, (16, 32, 32, 3)).astype(np.float32)
    reference = Reference(prefix, lambda: pictures)
    monkeypatch.setitem(engines.ENGINES, "openvino_float32", build_rough)
    assert choose_served(reference, ("openvino_float32", "tensorflow")).name == "tensorflow"
    monkeypatch.setitem(engines.ENGINES, "openvino_float32", engines.build_tensorflow)
    engine = choose_served(reference, ("openvino_float32", "tensorflow"))
    assert (engine.name, engine.error <= SERVED_TOLERANCE) == ("openvino_float32", True)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("tensorflow", "tensorflow"), ("auto", "openvino_float32"), ("xla", "openvino_float32")],
)
def test_the_engine_of_served_features_computes_in_float32(wanted, expected):
    pytest.importorskip("openvino")
    assert engines.list_served(wanted)[0] == expected
