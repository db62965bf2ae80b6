"""Features of different lengths: stored as long as they are, and batched by length."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from support.encoders import build_encoder
from support.feature_runs import small_run
from support.texts import Texts, write_texts

from tfxfer.config.head import HeadConfig
from tfxfer.config.phases import ResolvedPhase
from tfxfer.errors import InputError
from tfxfer.features.batches import Batching, group_by_length
from tfxfer.features.compute import compute_tables
from tfxfer.features.cut import build_prefix, build_suffix, find_cut
from tfxfer.features.feed import make_phase_data, make_streamed_data
from tfxfer.features.plan import item_bytes
from tfxfer.tasks.heads import build_head


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """48 training texts and 10 of validation."""
    return write_texts(tmp_path_factory.mktemp("texts"), (48, 10))


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(0)
    return build_encoder("made")


@pytest.fixture
def run(backbone, tmp_path):
    return small_run(backbone, build_head(HeadConfig(), 2, seed=0), tmp_path, modality=Texts())


def phase(**changes) -> ResolvedPhase:
    values = {"name": "p", "epochs": 1, "learning_rate": 1e-3, "views": 1, "mixup": 0.0}
    return ResolvedPhase(**{**values, "unfreeze": 2, **changes})


def tokens_of(items) -> list[np.ndarray]:
    return [np.fromfile(path, np.uint8).astype(np.int32) for path in items.paths]


def features_of(run, cut, items) -> list[np.ndarray]:
    """What Keras gives for each text by itself."""
    prefix = build_prefix(run.network.backbone, run.network.head, [cut])
    return [np.asarray(prefix(tokens[np.newaxis]))[0] for tokens in tokens_of(items)]


def list_rows(batches) -> list[np.ndarray]:
    return [row for batch in batches for row in batch]


def assert_close(row, expected, share) -> None:
    assert np.linalg.norm(row[: len(expected)] - expected) <= share * np.linalg.norm(expected)
    assert not row[len(expected) :].any(), "it is zero behind its end"


def test_features_are_stored_as_long_as_they_are(run, texts):
    cut = find_cut(run.network.backbone, run.network.head, 2)
    wanted = {0: [cut], 1: [cut]}
    tables = compute_tables(run, texts.train, wanted=wanted, split="training")
    expected = features_of(run, cut, texts.train)
    table = tables[0, cut]
    assert table.is_ragged
    np.testing.assert_array_equal(table.lengths, [len(each) for each in expected])
    for position in (3, 17, 40):
        (row,) = table.read(np.array([position]))
        assert row.shape == expected[position].shape
        assert_close(row, expected[position], share=1e-3)
    shorter = table.lengths - tables[1, cut].lengths
    assert set(shorter) == {0, 1, 2}, "a changed view has a length of its own"
    numbers = sum(each.size for each in expected)
    stored = sum(shard.path.joinpath("features.npy").stat().st_size for shard in table.shards)
    assert numbers * 2 <= stored <= numbers * 2 + 256 * len(table.shards), "nothing is padded"


def test_what_is_stored_is_what_streams(run, texts):
    stored = make_phase_data(run, texts, phases=[phase()], batching=Batching(8))
    assert stored.views == 1 and stored.cut.is_ragged
    streamed = make_streamed_data(
        run, texts, phase=phase(views="stream"), cut=stored.cut, batching=Batching(8)
    )
    one, other = list_rows(stored.validation()), list_rows(streamed.validation())
    assert len(one) == len(other) == 10
    for row, row2, tokens in zip(one, other, tokens_of(texts.validation), strict=True):
        assert_close(row, row2[: len(tokens)], share=1e-3)


def test_what_unfrozen_blocks_make_of_it_is_what_the_whole_network_makes(run, texts):
    data = make_phase_data(run, texts, phases=[phase()], batching=Batching(4))
    backbone, head = run.network.backbone, run.network.head
    suffix = build_suffix(backbone, head, data.cut)
    given = np.concatenate([np.asarray(suffix(x, training=False)) for x in data.validation()])
    vectors = [backbone.network(tokens[np.newaxis]) for tokens in tokens_of(texts.validation)]
    expected = np.concatenate([np.asarray(head.classify(vector)) for vector in vectors])
    np.testing.assert_allclose(given, expected, atol=2e-3)
    assert np.ptp(expected[:, 0]) > 0.05


def test_epochs_show_every_text_once_beside_others_of_its_length(run, texts):
    data = make_phase_data(run, texts, phases=[phase()], batching=Batching(8))
    lengths = data.tables[0].lengths
    whole = {data.tables[0].read(np.array([i]))[0].astype(np.float32).tobytes(): i
             for i in range(48)}  # fmt: skip
    width = data.cut.shape[1]

    def read(first: int) -> list[list[int]]:
        found = []
        for x, y in data.make_training(first).take(6).as_numpy_iterator():
            own = [np.trim_zeros(np.abs(row).sum(axis=1), "b").size for row in x]
            found.append([whole[row[:n].tobytes()] for row, n in zip(x, own, strict=True)])
            np.testing.assert_array_equal(y.argmax(axis=1), texts.train.labels.rows[found[-1]])
            assert x.shape == (8, max(lengths[found[-1]]), width), "padded within the batch"
        return found

    first, again, second = read(0), read(0), read(1)
    assert first == again
    assert first != second
    for epoch in (first, second):
        assert sorted(np.concatenate(epoch)) == list(range(48))
    padded = sum(8 * max(lengths[batch]) for batch in first)
    assert padded < 1.2 * lengths.sum()


def test_rows_are_grouped_by_length_a_few_batches_at_a_time():
    lengths = np.random.default_rng(1).integers(1, 100, 1000)
    order = np.random.default_rng(2).permutation(1000)
    drawn = np.split(order, 125)
    grouped = group_by_length(drawn, lengths, np.random.default_rng(3))
    assert [len(batch) for batch in grouped] == [8] * 125
    np.testing.assert_array_equal(np.sort(np.concatenate(grouped)), np.arange(1000))
    spread = np.mean([np.ptp(lengths[batch]) for batch in grouped])
    assert spread < 0.2 * np.mean([np.ptp(lengths[batch]) for batch in drawn])
    firsts = [lengths[batch].mean() for batch in grouped]
    assert np.abs(np.diff(firsts)).mean() > 20, "long and short ones come in turn"
    for batch, other in zip(
        grouped, group_by_length(drawn, lengths, np.random.default_rng(3)), strict=True
    ):
        np.testing.assert_array_equal(batch, other)


def test_the_room_is_estimated_by_the_texts_own_lengths(run, texts):
    cut = find_cut(run.network.backbone, run.network.head, 2)
    lengths = [len(tokens) for tokens in tokens_of(texts.train)]
    assert item_bytes(run, texts.train, cut) == np.mean(lengths) * cut.shape[1] * 2
    needed = 1e-9 * 2 * cut.shape[1] * sum(map(len, map(np.ravel, tokens_of(texts.train))))
    head, cache = run.network.head, run.store.folder
    tight = small_run(run.network.backbone, head, cache, modality=Texts(), max_disk_gb=0.5 * needed)
    data = make_phase_data(tight, texts, phases=[phase()], batching=Batching(8))
    assert (data.views, data.cut) == (0, cut)
    assert any("do not fit" in note for note in tight.recorder.notes)


def test_texts_of_different_lengths_are_not_blended(run, texts):
    with pytest.raises(InputError, match=r"mixup blends.*mixup=0\.2.*\(None, 9\).*mixup=0"):
        make_phase_data(run, texts, phases=[phase(mixup=0.2)], batching=Batching(8))
