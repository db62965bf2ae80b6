"""What frozen layers give: computed once, found again, and fed to a phase."""

from __future__ import annotations

import itertools
import shutil
from contextlib import contextmanager
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.cutting import lowest_blocks
from support.feature_runs import small_run
from support.small import draw_picture, write_classes

from tfxfer.backbones.build import build_backbone
from tfxfer.config.backbone import BackboneConfig
from tfxfer.config.data import DataConfig
from tfxfer.config.head import HeadConfig
from tfxfer.config.phases import ResolvedPhase
from tfxfer.data.pipeline import make_evaluation_dataset, make_training_dataset, make_view_batches
from tfxfer.errors import InputError
from tfxfer.features import batches as feature_batches
from tfxfer.features import compute, engines, network
from tfxfer.features.batches import (
    Batching,
    Waiting,
    make_stored_training,
    make_streamed_dataset,
    time_waiting,
)
from tfxfer.features.compute import compute_tables, find_tables
from tfxfer.features.cut import build_prefix, find_cut
from tfxfer.features.engines import BATCH
from tfxfer.features.feed import make_phase_data, make_streamed_data
from tfxfer.features.fingerprint import hash_prefix, view_seeds
from tfxfer.features.store import cache, shards
from tfxfer.modalities.pictures.networks.applications import wrap_network
from tfxfer.modalities.pictures.networks.families import Family
from tfxfer.modalities.pictures.settings import AugmentationConfig
from tfxfer.modalities.pictures.view import augmented_view, plain_view
from tfxfer.tasks.heads import build_head
from tfxfer.training.load import load_data

pytestmark = pytest.mark.slow

AUGMENTATION = AugmentationConfig(colour=0.3)


@pytest.fixture(scope="module")
def _tiny(_tiny):
    """The two lowest blocks of the tiny network, of which the tests store features."""
    return lowest_blocks(_tiny, 2)


@pytest.fixture(scope="module")
def pictures(picture_folder):
    """42 training, 9 validation and 9 test pictures."""
    return load_data(DataConfig(source=str(picture_folder)), seed=0)


@pytest.fixture
def make_run(small_backbone, small_head, tmp_path):
    """Gives what a run computes features with; several of a test share one cache."""

    def make(backbone=None, head=None, augmentation=AUGMENTATION, **settings):
        return small_run(
            backbone or small_backbone,
            head or small_head,
            tmp_path / "cache",
            augmentation=augmentation,
            **settings,
        )

    return make


@pytest.fixture(scope="module")
def _features(_tiny, pictures, tmp_path_factory):
    """A cache with three views of the training pictures, at both cuts."""
    folder = tmp_path_factory.mktemp("features")
    head = build_head(HeadConfig(), 3, seed=0)
    cuts = [find_cut(_tiny, head, unfrozen) for unfrozen in (0, 1)]
    run = small_run(_tiny, head, folder, augmentation=AUGMENTATION)
    compute_tables(run, pictures.train, wanted=dict.fromkeys(range(3), cuts), split="training")
    return folder


@pytest.fixture
def _stored(_features, tmp_path):
    """Puts a copy of these features into the cache of the test."""
    shutil.copytree(_features, tmp_path / "cache")


@pytest.fixture
def cuts(small_backbone, small_head):
    """Behind both blocks, and below the upper one."""
    return [find_cut(small_backbone, small_head, unfrozen) for unfrozen in (0, 1)]


def phase(**changes) -> ResolvedPhase:
    values = {"name": "p", "epochs": 1, "learning_rate": 1e-3, "views": 1, "mixup": 0.0}
    return ResolvedPhase(**{**values, **changes})


def run_prefix(run, cuts, batches) -> list[np.ndarray]:
    """Return what Keras gives for some batches of pictures."""
    prefix = build_prefix(run.network.backbone, run.network.head, cuts)
    results = [keras.tree.flatten(prefix(batch, training=False)) for batch in batches]
    return [
        np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*results, strict=True)
    ]


def assert_close(features, expected, share=1e-3) -> None:
    """Compare up to the rounding of float16."""
    difference = np.linalg.norm(np.asarray(features, np.float32) - expected)
    assert difference <= share * np.linalg.norm(expected)


def epochs_of(dataset, count) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    return [[(x.numpy(), y.numpy()) for x, y in dataset] for _ in range(count)]


def stored_epochs_of(dataset, count) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Return the first epochs, of 5 batches each, of a data set without end."""
    batches = [(x.numpy(), y.numpy()) for x, y in dataset.take(5 * count)]
    return [batches[start : start + 5] for start in range(0, len(batches), 5)]


def test_tables_hold_what_the_frozen_layers_give_for_each_view(make_run, pictures, cuts):
    run, train = make_run(), pictures.train
    tables = compute_tables(run, train, wanted={0: cuts, 1: cuts[1:]}, split="training")
    assert set(tables) == {(0, cuts[0]), (0, cuts[1]), (1, cuts[1])}
    seeds = view_seeds(train.identities(), 0, 1)
    views = {
        0: list(make_view_batches(train, plain_view(32), batch_size=16)),
        1: list(
            make_view_batches(train, augmented_view(32, AUGMENTATION), batch_size=16, seeds=seeds)
        ),
    }
    for (view, cut), table in tables.items():
        (expected,) = run_prefix(run, [cut], views[view])
        assert table.missing.size == 0
        assert table.read().shape == (42, *cut.shape)
        assert_close(table.read(), expected)
    assert np.linalg.norm(views[0][0] - views[1][0]) > 0.1 * np.linalg.norm(views[0][0])
    assert run.recorder.clock.prefix_seconds > 0
    assert run.recorder.clock.items == 2 * 42


@pytest.mark.usefixtures("_stored")
def test_what_is_stored_is_not_computed_again(make_run, pictures, cuts):
    first = compute_tables(make_run(), pictures.train, wanted={0: cuts, 1: cuts}, split="training")
    run = make_run()
    second = compute_tables(run, pictures.train, wanted={0: cuts, 1: cuts}, split="training")
    assert run.recorder.clock.items == 0
    for key, table in first.items():
        np.testing.assert_array_equal(second[key].read(), table.read())


def test_only_a_picture_that_was_replaced_is_computed_again(make_run, own_folder, cuts):
    def load():
        return load_data(DataConfig(source=str(own_folder)), seed=0).train

    wanted = {0: cuts[:1]}
    before = compute_tables(make_run(), load(), wanted=wanted, split="training")[0, cuts[0]].read()
    changed = 5
    draw_picture("blue", seed=77).save(load().paths[changed])
    run = make_run()
    np.testing.assert_array_equal(
        find_tables(run, load(), wanted=wanted)[0, cuts[0]].missing, [changed]
    )
    after = compute_tables(run, load(), wanted=wanted, split="training")[0, cuts[0]].read()
    assert run.recorder.clock.items == 1
    differs = (after != before).any(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(differs), [changed])


@pytest.mark.usefixtures("_stored")
def test_a_damaged_shard_is_computed_again_with_a_note(make_run, pictures, cuts, tmp_path):
    wanted = {0: cuts[:1], 1: cuts[:1]}
    before = compute_tables(make_run(), pictures.train, wanted=wanted, split="training")
    damaged = before[1, cuts[0]].shards[before[1, cuts[0]].rows[0, 0]].path / "features.npy"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    run = make_run()
    after = compute_tables(run, pictures.train, wanted=wanted, split="training")
    assert run.recorder.clock.items == 42, "those of one view"
    assert any("damaged" in note for note in run.recorder.notes)
    for key, table in before.items():
        if key[0] == 0:
            np.testing.assert_array_equal(after[key].read(), table.read())
        assert after[key].missing.size == 0
    assert find_tables(make_run(), pictures.train, wanted=wanted)[1, cuts[0]].damaged == 0


def missing(run, pictures, wanted) -> list[int]:
    return [
        table.missing.size for table in find_tables(run, pictures.train, wanted=wanted).values()
    ]


@pytest.mark.usefixtures("_stored")
def test_view_0_shows_pictures_as_they_are_whatever_the_seed(make_run, pictures, cuts):
    wanted = {0: cuts[:1], 1: cuts[:1]}
    assert missing(make_run(), pictures, wanted) == [0, 0]
    assert missing(make_run(seed=1), pictures, wanted) == [0, 42]
    assert missing(make_run(augmentation=AugmentationConfig()), pictures, wanted) == [0, 42]


@pytest.mark.usefixtures("_stored")
def test_other_layers_have_features_of_their_own(make_run, pictures, cuts, weights_file):
    cut = cuts[0]

    def build(size_px):
        config = BackboneConfig(name="TinyNet", weights=str(weights_file), image_size_px=size_px)
        return lowest_blocks(build_backbone(config), 2)

    backbone = build(32)
    assert missing(make_run(backbone), pictures, {0: [cut]}) == [0], "the same weights"
    (kernel,) = backbone.network.get_layer("stage2_conv").weights
    kernel.assign(kernel * 1.01)
    assert missing(make_run(backbone), pictures, {0: [cut]}) == [42]
    assert missing(make_run(build(64)), pictures, {0: [cut]}) == [42]
    other_pooling = build_head(HeadConfig(pooling="max"), 3, seed=0)
    assert missing(make_run(head=other_pooling), pictures, {0: [cut]}) == [42]
    assert missing(make_run(engine="xla"), pictures, {0: [cut]}) == [42]
    assert missing(make_run(source="elsewhere"), pictures, {0: [cut]}) == [42]


def test_weights_above_a_cut_do_not_matter_to_it(make_run, cuts):
    run = make_run()
    backbone, head = run.network.backbone, run.network.head
    hashes = [hash_prefix(backbone, head, cut) for cut in cuts]
    (kernel,) = run.network.backbone.network.get_layer("stage2_conv").weights
    kernel.assign(kernel * 1.01)
    assert hash_prefix(backbone, head, cuts[1]) == hashes[1]
    assert hash_prefix(backbone, head, cuts[0]) != hashes[0]


def test_features_that_outgrow_their_type_are_stored_in_a_wider_one(make_run, tmp_path):
    """The first batch's numbers fit float16, a later picture's do not."""
    folder = write_classes(tmp_path / "photos", {"blue": 14, "green": 14})
    train = load_data(DataConfig(source=str(folder)), seed=0).train
    assert len(train.paths) > BATCH
    for path in train.paths:
        Image.new("RGB", (32, 32), (8, 8, 8)).save(path)
    Image.new("RGB", (32, 32), "white").save(train.paths[-1])
    inputs = keras.Input((32, 32, 3))
    below = keras.layers.Conv2D(4, 1, kernel_initializer="ones", name="block1")(inputs * 1000)
    network = keras.Model(inputs, keras.layers.Conv2D(4, 1, name="block2")(below))
    family = Family("Tiny", {}, r"(?P<name>block\d)$", "inside", "MIT")
    backbone = wrap_network(network, family, 32)
    run = make_run(backbone)
    cut = find_cut(backbone, run.network.head, 1)
    table = compute_tables(run, train, wanted={0: [cut]}, split="training")[0, cut]
    assert table.dtype == "float32"
    brightness = table.read().max(axis=(1, 2, 3))
    np.testing.assert_allclose(brightness[:-1], 3 * 8 * 1000, rtol=0.1)
    np.testing.assert_allclose(brightness[-1], 3 * 255 * 1000, rtol=0.01)


def test_one_pass_computes_what_two_phases_need(make_run, pictures, cuts):
    run = make_run()
    phases = [phase(name="head"), phase(name="top", unfreeze=1, views=2)]
    data = make_phase_data(run, pictures, phases=phases, batching=Batching(8))
    assert (data.cut, data.views, len(data.tables)) == (cuts[0], 1, 2)
    assert run.recorder.clock.items == 42 + 9, "each picture went through the network once"
    assert missing(run, pictures, {0: cuts, 1: cuts}) == [0, 0, 42, 42]
    data = make_phase_data(run, pictures, phases=phases[1:], batching=Batching(8))
    assert (data.cut, data.views, len(data.tables)) == (cuts[1], 2, 3)
    assert run.recorder.clock.items == 42 + 9 + 42, "the second view was missing"


def test_features_that_a_phase_will_change_are_not_stored_ahead(make_run, pictures, cuts):
    run = make_run()
    phases = [phase(name="top", unfreeze=1), phase(name="head", unfreeze=0)]
    make_phase_data(run, pictures, phases=phases, batching=Batching(8))
    assert missing(run, pictures, {0: cuts}) == [42, 0]


@pytest.mark.usefixtures("_stored")
def test_stored_epochs_show_every_picture_once_and_its_views_in_turn(make_run, pictures, cuts):
    train = pictures.train.choose(np.arange(40))
    wanted = {view: cuts[:1] for view in range(3)}
    found = compute_tables(make_run(), train, wanted=wanted, split="training")
    tables = [found[view, cuts[0]] for view in wanted]
    which = {
        row.astype(np.float32).tobytes(): (view, position)
        for view, table in enumerate(tables)
        for position, row in enumerate(table.read())
    }
    assert len(which) == 120
    seen = []
    for batches in stored_epochs_of(
        make_stored_training(tables, train.labels, classes=3, batching=Batching(8), seed=0), 3
    ):
        assert [len(x) for x, _ in batches] == [8] * 5
        shown = [which[row.tobytes()] for x, _ in batches for row in x]
        labels = np.concatenate([y.argmax(axis=1) for _, y in batches])
        np.testing.assert_array_equal(
            labels, train.labels.numbers[[position for _, position in shown]]
        )
        assert sorted(position for _, position in shown) == list(range(40))
        assert {view for view, _ in shown} == {0, 1, 2}, "an epoch has some of every view"
        seen += shown
    assert len(set(seen)) == 120, "three epochs show each picture's three views"
    orders = [[position for _, position in seen[start : start + 40]] for start in (0, 40)]
    assert orders[0] != orders[1]


@pytest.mark.usefixtures("_stored")
def test_fit_shows_every_view_as_well(make_run, pictures, cuts):
    train = pictures.train.choose(np.arange(40))
    found = compute_tables(make_run(), train, wanted={0: cuts[:1], 1: cuts[:1]}, split="training")
    tables = [found[view, cuts[0]] for view in range(2)]
    stored = {row.astype(np.float32).tobytes() for table in tables for row in table.read()}
    seen: list[bytes] = []

    class Recorder(keras.Model):
        def train_step(self, data):
            seen.extend(row.tobytes() for row in data[0].numpy())
            return {"loss": tf.constant(0.0)}

    model = Recorder()
    model.compile(run_eagerly=True)
    batches = make_stored_training(tables, train.labels, classes=3, batching=Batching(8), seed=0)
    model.fit(batches, epochs=2, steps_per_epoch=5, shuffle=False, verbose=0)
    assert len(stored) == len(seen) == 80
    assert set(seen) == stored


def test_the_same_seed_gives_the_same_stored_epochs(make_run, pictures):
    run = make_run()
    settings = phase(unfreeze=1, views=2, mixup=0.2)
    data = make_phase_data(run, pictures, phases=[settings], batching=Batching(8))
    first, again = (stored_epochs_of(data.make_training(), 2) for _ in range(2))
    (later,) = stored_epochs_of(data.make_training(1), 1)
    np.testing.assert_array_equal(later[0][0], first[1][0][0])
    for one, other in zip(first, again, strict=True):
        for (x, y), (x2, y2) in zip(one, other, strict=True):
            np.testing.assert_array_equal(x, x2)
            np.testing.assert_array_equal(y, y2)
    other = make_phase_data(make_run(seed=1), pictures, phases=[settings], batching=Batching(8))
    assert not np.array_equal(next(iter(other.make_training()))[0], first[0][0][0])


def test_a_phase_s_validation_is_in_order_and_whole(make_run, pictures, cuts):
    run = make_run()
    data = make_phase_data(run, pictures, phases=[phase(unfreeze=1)], batching=Batching(4))
    batches = list(data.validation())
    assert [len(x) for x in batches] == [4, 4, 1]
    views = make_view_batches(pictures.validation, plain_view(32), batch_size=16)
    (expected,) = run_prefix(run, cuts[1:], views)
    assert_close(np.concatenate(batches), expected, share=1e-5)


@pytest.mark.parametrize("batch_size", [5, 16, 24, 42])
def test_streamed_features_are_those_of_the_pictures_in_their_order(
    make_run, pictures, cuts, batch_size
):
    run, cut = make_run(), cuts[1]
    dataset = make_evaluation_dataset(
        pictures.train, plain_view(32), class_count=3, batch_size=batch_size
    )
    batches = [(x.numpy(), y.numpy()) for x, y in dataset]
    reference = run.network.refer([cut], lambda: batches[0][0])
    engine = run.network.make_engine(reference, recorder=run.recorder)
    dataset = make_streamed_dataset(
        engine, dataset, cut=cut, classes=3, steps=len(batches), recorder=run.recorder
    )
    streamed = list(dataset.as_numpy_iterator())
    assert len(streamed) == len(batches)
    for (features, labels), (batch, expected_labels) in zip(streamed, batches, strict=True):
        np.testing.assert_array_equal(labels, expected_labels)
        assert_close(features, run_prefix(run, [cut], [batch])[0], share=1e-5)


def test_streamed_training_shows_the_same_changes_as_pictures_would(make_run, pictures, cuts):
    run, cut = make_run(), cuts[1]
    data = make_streamed_data(
        run, pictures, phase=phase(unfreeze=1, views="stream"), cut=cut, batching=Batching(8)
    )
    assert (data.views, data.tables, data.steps_per_epoch) == (0, (), 5)
    dataset = make_training_dataset(
        pictures.train, augmented_view(32, AUGMENTATION), class_count=3, batch_size=8, seed=0
    )
    for ours, theirs in zip(epochs_of(data.make_training(), 2), epochs_of(dataset, 2), strict=True):
        for (features, labels), (batch, expected_labels) in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(labels, expected_labels)
            assert_close(features, run_prefix(run, [cut], [batch])[0], share=1e-5)


def test_without_room_the_layers_run_in_every_epoch_and_the_run_says_so(make_run, pictures):
    run = make_run(max_disk_gb=0)
    data = make_phase_data(
        run, pictures, phases=[phase(name="top", unfreeze=1, views=2)], batching=Batching(8)
    )
    assert (data.views, data.tables) == (0, ())
    assert any("'top'" in note and "max_disk_gb" in note for note in run.recorder.notes)
    assert [len(x) for x, _ in data.make_training()] == [8] * 5
    assert cache.list_stored(run.store.folder) == []


def test_room_for_one_phase_is_not_spent_on_the_next(make_run, pictures, cuts):
    """The head's 16 numbers a picture fit; the map below the upper block does not."""
    run = make_run(max_disk_gb=42 * 16 * 2 * 2 / 1e9)
    phases = [phase(name="head"), phase(name="top", unfreeze=1)]
    data = make_phase_data(run, pictures, phases=phases, batching=Batching(8))
    assert data.views == 1
    assert missing(run, pictures, {0: cuts}) == [0, 42]


def test_the_whole_network_trains_on_pictures(make_run, pictures):
    run = make_run()
    data = make_phase_data(
        run, pictures, phases=[phase(unfreeze=2, batch_norm="train")], batching=Batching(8)
    )
    assert (data.cut.name, data.views, run.recorder.clock.items) == ("pictures", 0, 0)
    features, labels = next(iter(data.make_training()))
    assert (features.shape, labels.shape) == ((8, 32, 32, 3), (8, 3))


def test_an_engine_that_fails_at_one_cut_does_not_end_a_run_that_chose_it_itself(
    make_run, pictures, cuts, monkeypatch
):
    """``engine="auto"`` falls back as it does at the first cut."""

    def build_for_vectors(prefix):
        if len(prefix.output_shape) > 2:
            raise NotImplementedError("maps")
        return engines.build_tensorflow(prefix)

    monkeypatch.setitem(engines.ENGINES, "vectors", build_for_vectors)
    monkeypatch.setattr(engines, "list_candidates", lambda: ("vectors",))
    run = make_run(engine="auto")
    batch = next(make_view_batches(pictures.train, plain_view(32), batch_size=16))
    vectors, maps = (run.network.refer([cut], lambda: batch) for cut in cuts)
    assert run.network.make_engine(vectors, recorder=run.recorder).name == "vectors"
    monkeypatch.setattr(engines, "list_candidates", lambda: ("vectors", "tensorflow"))
    assert run.network.make_engine(maps, recorder=run.recorder).name == "tensorflow"


@pytest.mark.usefixtures("_stored")
def test_a_run_takes_whatever_engine_has_stored_its_features_and_one_alone(
    make_run, pictures, cuts, monkeypatch
):
    monkeypatch.setattr(network, "list_candidates", lambda: ("xla", "tensorflow"))
    wanted = {0: cuts[:1]}
    run = make_run(engine="auto")
    compute_tables(run, pictures.train, wanted=wanted, split="training")
    assert (run.recorder.engine_name, run.recorder.clock.items) == ("tensorflow", 0)
    compute_tables(run, pictures.validation, wanted=wanted, split="validation")
    assert (run.recorder.engine_name, run.recorder.clock.items) == ("tensorflow", 9)


def test_an_engine_that_cannot_even_be_described_is_left_out(make_run, pictures, cuts, monkeypatch):
    def describe(name):
        if name == "openvino":
            raise ImportError("libopenvino.so is missing")
        return name

    monkeypatch.setattr(network, "list_candidates", lambda: ("openvino", "tensorflow"))
    monkeypatch.setattr(engines, "list_candidates", lambda: ("openvino", "tensorflow"))
    monkeypatch.setattr(network, "describe_engine", describe)
    monkeypatch.setitem(engines.ENGINES, "openvino", describe)
    run = make_run(engine="auto")
    compute_tables(run, pictures.train, wanted={0: cuts[:1]}, split="training")
    assert run.recorder.engine_name == "tensorflow"
    assert any("openvino cannot be used here" in note for note in run.recorder.notes)


def test_a_few_missing_pictures_are_computed_by_the_engine_of_the_others(
    make_run, pictures, cuts, monkeypatch
):
    monkeypatch.setattr(network, "list_candidates", lambda: ("fast", "tensorflow"))
    monkeypatch.setattr(engines, "list_candidates", lambda: ("fast", "tensorflow"))
    monkeypatch.setitem(engines.ENGINES, "fast", engines.build_tensorflow)
    some = pictures.train.choose(np.arange(40))
    compute_tables(make_run(engine="tensorflow"), some, wanted={0: cuts[:1]}, split="training")
    run = make_run(engine="auto")
    compute_tables(run, pictures.train, wanted={0: cuts[:1]}, split="training")
    assert (run.recorder.engine_name, run.recorder.clock.items) == ("tensorflow", 2)


def test_features_that_are_no_numbers_are_not_stored(make_run, pictures, cuts, monkeypatch):
    """The first batch, which the engine is compared on, is as it should be."""

    def build_overflowing(prefix):
        run = engines.build_tensorflow(prefix)
        count = itertools.count()
        return lambda batches: (
            [part + np.float32(np.inf if next(count) > 1 else 0) for part in parts]
            for parts in run(batches)
        )

    monkeypatch.setitem(engines.ENGINES, "xla", build_overflowing)
    run = make_run(engine="xla")
    with pytest.raises(InputError, match=r"must be finite.*'xla'.*features\.engine=tensorflow"):
        compute_tables(run, pictures.train, wanted={0: cuts[:1]}, split="training")
    assert missing(run, pictures, {0: cuts[:1]}) == [42]


def test_a_pass_that_is_interrupted_keeps_the_files_that_are_whole(
    make_run, pictures, cuts, monkeypatch
):
    monkeypatch.setattr(compute, "_SHARD_ITEMS", 16)
    wanted, run = {0: cuts, 1: cuts[1:]}, make_run()
    seen = itertools.count()
    time_engine = run.recorder.time

    def stop_in_the_third(*arguments):
        if next(seen) == 2:
            raise KeyboardInterrupt
        return time_engine(*arguments)

    monkeypatch.setattr(run.recorder, "time", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        compute_tables(run, pictures.train, wanted=wanted, split="training")
    assert missing(make_run(), pictures, wanted) == [10, 10, 42]
    again = make_run()
    compute_tables(again, pictures.train, wanted=wanted, split="training")
    assert again.recorder.clock.items == 10 + 42
    assert missing(again, pictures, wanted) == [0, 0, 0]


def test_a_store_that_loses_what_it_is_given_is_an_error(make_run, pictures, cuts, monkeypatch):
    run = make_run()
    write = shards.write_shard

    @contextmanager
    def write_and_lose(folder, *arguments):
        with write(folder, *arguments) as append:
            yield append
        cache.clear(folder)

    monkeypatch.setattr(shards, "write_shard", write_and_lose)
    with pytest.raises(InputError, match=r"42 pictures were gone again.*cache_dir=DIR"):
        compute_tables(run, pictures.train, wanted={0: cuts[:1]}, split="training")


def test_a_run_goes_on_when_another_one_clears_the_cache(make_run, pictures):
    run = make_run()
    data = make_phase_data(run, pictures, phases=[phase(unfreeze=1, views=2)], batching=Batching(8))
    before = stored_epochs_of(data.make_training(), 1)
    assert cache.clear(run.store.folder) > 0
    assert cache.list_stored(run.store.folder) == []
    for (x, y), (x2, y2) in zip(
        before[0], stored_epochs_of(data.make_training(), 1)[0], strict=True
    ):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)


@pytest.mark.parametrize(("producer", "consumer", "waited"), [(2.0, 0.5, 80.0), (0.0, 3.0, 0.0)])
def test_waiting_is_counted_while_a_batch_is_made_and_not_while_it_is_trained_on(
    producer, consumer, waited, monkeypatch
):
    now = 0.0

    def make(index):
        nonlocal now
        now += producer
        return np.float32(index)

    monkeypatch.setattr(feature_batches, "time", SimpleNamespace(monotonic=lambda: now))
    batches = tf.data.Dataset.range(40).map(
        lambda index: (tf.numpy_function(make, [index], tf.float32), index)
    )
    waiting = Waiting()
    timed = time_waiting(batches, 40, waiting)
    assert int(timed.cardinality()) == 40
    for number, (value, index) in enumerate(timed):
        assert (float(value), int(index)) == (number, number)
        now += consumer
    assert waiting.seconds == waited
