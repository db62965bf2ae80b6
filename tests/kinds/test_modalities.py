"""What every modality's row promises, checked for each row of `kinds.MODALITIES`."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from support.examples import EXAMPLES

from tfxfer.config.backbone import BackboneConfig
from tfxfer.data.items import FileSet
from tfxfer.kinds import MODALITIES
from tfxfer.modality import InputSpec, Modality

ROWS = pytest.mark.parametrize("name", MODALITIES)
SEED, OTHER = tf.constant([3, 4], tf.int64), tf.constant([3, 5], tf.int64)


@pytest.fixture
def row(name) -> Modality:
    return MODALITIES[name]


@pytest.fixture
def files(name, tmp_path) -> list:
    """Two good items of each class."""
    examples = EXAMPLES[name]
    return [
        examples.write(each, seed, tmp_path / each / f"{seed}")
        for each in examples.classes
        for seed in (1, 2)
    ]


def look_at(row: Modality, files: list) -> list:
    items = FileSet(tuple(map(str, files)), np.zeros(len(files), np.int64))
    return row.look(items, lambda done: None)


@pytest.fixture
def spec(name, row) -> InputSpec:
    network = EXAMPLES[name].network
    config = BackboneConfig(
        weights="none", **{key.removeprefix("backbone."): value for key, value in network.items()}
    )
    found = row.input_of(config)
    assert found is not None
    return found


@ROWS
def test_a_row_says_what_it_is(name, row):
    assert row.name == name
    assert row.item
    assert row.item != row.name
    assert all(ending == ending.lower() and ending.startswith(".") for ending in row.endings)
    assert row.formats
    assert all(meaning for meaning in row.oddities.values())
    assert name in EXAMPLES, "add examples of the modality to tests/support/examples.py"


@ROWS
def test_its_networks_say_what_they_take(row):
    assert row.networks
    for name, network in row.networks.items():
        assert network.parameters > 0, name
        assert network.blocks > 1, name
        assert row.input_of(BackboneConfig(name=name)) is not None, name
    assert row.embedded[0] in row.networks


@ROWS
def test_policies_decide_the_changes_and_nothing_else(row):
    plain = row.augmentation()
    assert plain.policy in row.policies
    assert "none" in row.policies
    described = {row.augmentation().under(policy).describe() for policy in row.policies}
    assert len(described) == len(row.policies)
    assert plain.under(None) == plain
    assert plain.under("none").describe() == "none"


@ROWS
def test_an_item_is_told_from_what_is_none(row, name, files):
    assert all(row.sniff(file.read_bytes()) for file in files)
    assert row.sniff(bytes(range(64))) is None
    assert all(row.find_fault(file.read_bytes()) is None for file in files)


@ROWS
def test_an_audit_finds_planted_faults_and_oddities(row, name, files, tmp_path):
    broken = []
    for label, content in EXAMPLES[name].faults.items():
        broken.append(tmp_path / f"{label}{files[0].suffix}")
        broken[-1].write_bytes(content)
    odd, key = EXAMPLES[name].odd(tmp_path / "odd")
    looks = look_at(row, [*files, *broken, odd])
    assert not any(look.fault for look in looks[: len(files)])
    assert all(look.fault for look in looks[len(files) : -1])
    assert key in looks[-1].oddities
    assert set(looks[-1].oddities) <= set(row.oddities)
    for file in broken:
        assert row.look_at_encoded(file.read_bytes()).fault


@ROWS
def test_an_audit_finds_planted_copies_and_no_others(row, name, files, tmp_path):
    copy = EXAMPLES[name].copy(files[0], tmp_path / "copy")
    looks = look_at(row, [*files, copy])
    (group,) = row.find_copies(looks, False)
    assert group.rows == (0, len(files))
    assert not group.is_exact
    exact = row.find_copies([looks[0], *looks[:-1]], False)
    assert [group.rows for group in exact if group.is_exact] == [(0, 1)]


@ROWS
def test_a_view_is_decided_by_its_seed(row, files, spec):
    encoded = tf.constant(files[0].read_bytes())
    policy = next(policy for policy in row.policies if policy != "none")
    changed = row.augmented_view(spec, row.augmentation().under(policy))
    first, again, other = (changed(encoded, seed).numpy() for seed in (SEED, SEED, OTHER))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    unchanged = row.augmented_view(spec, row.augmentation().under("none"))(encoded, SEED)
    plain = row.plain_view(spec)(encoded)
    np.testing.assert_array_equal(unchanged, plain)
    for view in (first, plain.numpy()):
        assert view.dtype == spec.dtype
        assert all(side in (None, here) for side, here in zip(spec.shape, view.shape, strict=True))


@ROWS
def test_a_view_can_be_drawn(row, files, spec):
    drawn = row.draw(row.plain_view(spec)(tf.constant(files[0].read_bytes())).numpy())
    assert drawn.dtype == np.uint8
    assert drawn.ndim == 3
    assert drawn.shape[-1] == 3


@ROWS
def test_a_served_file_becomes_the_view_that_was_trained_on(row, files, spec):
    signatures = row.signatures(spec)
    names = [signature.name for signature in signatures]
    assert len(set(names)) == len(names)
    assert {"serving_default", "features"} <= set(names)
    contents = [file.read_bytes() for file in files]
    views = np.stack([row.plain_view(spec)(tf.constant(content)) for content in contents])
    for signature in signatures:
        given = tf.constant(contents) if signature.is_encoded else tf.constant(views)
        given = given if signature.is_encoded else tf.cast(tf.round(given), signature.spec.dtype)
        taken = signature.convert(given)
        if signature.is_encoded:
            taken, are_valid = taken
            assert are_valid.numpy().all()
        tolerance = 0.0 if signature.is_encoded else 0.5
        np.testing.assert_allclose(taken.numpy(), views, atol=tolerance)


@ROWS
def test_what_cannot_be_decoded_is_said_of_a_batch_and_no_error_of_the_others(row, files, spec):
    contents = [file.read_bytes() for file in files[:2]]
    given = [contents[0], b"nothing", contents[1], contents[1][:40], b""]
    views = [row.plain_view(spec)(tf.constant(content)).numpy() for content in contents]
    for signature in row.signatures(spec):
        if not signature.is_encoded:
            continue
        taken, are_valid = (each.numpy() for each in signature.convert(tf.constant(given)))
        assert are_valid.tolist() == [True, False, True, False, False]
        np.testing.assert_array_equal(taken[[0, 2]], views)
        assert not taken[[1, 3, 4]].any()
        taken, are_valid = signature.convert(tf.constant([b"nothing", b""]))
        assert not are_valid.numpy().any() and taken.shape == (2, *views[0].shape)
        taken, are_valid = signature.convert(tf.constant([], tf.string))
        assert taken.shape == (0, *views[0].shape) and are_valid.shape == (0,)
        with pytest.raises(tf.errors.InvalidArgumentError):
            signature.convert(tf.constant([b"nothing"]))
