"""Tests of augmentation policies: their effect on pictures, and the features of their views."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from support.feature_runs import small_run

from tfxfer.commands.main import main
from tfxfer.config.data import DataConfig
from tfxfer.config.phases import PhaseConfig, ResolvedPhase
from tfxfer.data.pipeline import make_view_batches
from tfxfer.features.batches import Batching
from tfxfer.features.compute import compute_tables, find_tables
from tfxfer.features.cut import find_cut
from tfxfer.features.feed import make_phase_data, make_streamed_data
from tfxfer.features.fingerprint import view_seeds
from tfxfer.modalities.pictures.policies import OPERATIONS, choose_operations
from tfxfer.modalities.pictures.settings import POLICIES, AugmentationConfig
from tfxfer.modalities.pictures.view import augmented_view, plain_view
from tfxfer.phases.schedules import fill_in
from tfxfer.training.load import load_data

pytestmark = pytest.mark.slow

SIZE = 24
# These are the corners of three views from the version that had only one policy.
EXPECTED_CORNERS = [[101.09, 101.33, 94.35], [149.83, 134.49, 127.95], [113.95, 101.3, 94.32]]
WHOLE = {"crop_min_area": 1.0, "flip": False}


def draw(seed: int = 0) -> np.ndarray:
    """Return a smooth picture of 24 px without symmetry, with some noise."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    channels = [0.2 + 0.6 * columns, 0.1 + 0.7 * rows, 0.3 + 0.4 * rows * columns]
    noise = np.random.default_rng(seed).uniform(0, 0.1, (SIZE, SIZE, 3))
    return np.round(255 * (np.stack(channels, axis=-1) + noise)).astype(np.uint8)


def encode(picture: np.ndarray) -> tf.Tensor:
    return tf.io.encode_png(picture)


def view(config: AugmentationConfig, number: int, encoded: tf.Tensor | None = None) -> np.ndarray:
    """Return one view of a picture, by the function that training uses."""
    encoded = encode(draw()) if encoded is None else encoded
    return augmented_view(SIZE, config)(encoded, tf.constant([5, number], tf.int64)).numpy()


def change(name: str, picture: np.ndarray, amount: float, fill: str = "REFLECT") -> np.ndarray:
    """Apply a single operation to a picture."""
    return np.asarray(
        OPERATIONS[name].change(tf.constant(picture, tf.float32), tf.constant(amount), fill)
    )


@pytest.mark.parametrize(
    ("policy", "erasing"),
    [*((policy, 0.0) for policy in POLICIES), ("none", 1.0), ("randaugment", 1.0)],
)
def test_a_seed_decides_a_view_which_stays_in_range(policy, erasing):
    config = AugmentationConfig(policy=policy, erasing=erasing)
    views = [view(config, number) for number in range(12)]
    for number, one in enumerate(views):
        assert one.shape == (SIZE, SIZE, 3) and one.dtype == np.float32
        assert one.min() >= 0 and one.max() <= 255
        np.testing.assert_array_equal(view(config, number), one)
    plain = plain_view(SIZE)(encode(draw())).numpy()
    differing = sum(not np.array_equal(one, plain) for one in views)
    distinct = len({one.tobytes() for one in views})
    assert (differing == 0 and distinct == 1) if policy == "none" else min(differing, distinct) > 6


def test_standard_is_what_it_was_before_there_were_policies():
    """Features that were stored then are still found, so the views must not change."""
    config = AugmentationConfig(rotate=True)
    values = np.stack([view(config, number) for number in range(3)])
    corners = values[:, ::23, ::23].mean(axis=(1, 2))
    np.testing.assert_allclose(corners, EXPECTED_CORNERS, atol=0.5)
    assert json.loads(config.describe()) == {
        "crop_min_area": 0.5,
        "flip": True,
        "rotate": True,
        "colour": 0.2,
    }


def test_light_keeps_colours_and_most_of_the_picture():
    encoded = encode(np.broadcast_to(np.uint8([200, 90, 30]), (SIZE, SIZE, 3)))
    config = AugmentationConfig(policy="light", crop_min_area=0.1)
    for number in range(8):
        colours = view(config, number, encoded).reshape(-1, 3)
        np.testing.assert_allclose(colours, [[200, 90, 30]] * SIZE**2, atol=1e-3)
    # A crop of four fifths always contains a part of the corner regions.
    marked = np.zeros((SIZE, SIZE, 3), np.uint8)
    marked[4:-4, 4:-4] = 255
    shares = [view(config, number, encode(marked)).mean() / 255 for number in range(20)]
    assert 16 * 16 / SIZE**2 * 0.99 <= max(shares) <= 16 * 16 / SIZE**2 / 0.8 * 1.1


@pytest.mark.parametrize("policy", ["standard", "randaugment"])
def test_what_must_not_be_mirrored_never_is(policy):
    """Every view is dark on the left; reflected borders would be mirror images, too."""
    ramp = np.tile(np.linspace(40, 215, SIZE)[:, None], (SIZE, 1, 3)).astype(np.uint8)

    def ramps(flip: bool) -> list[np.ndarray]:
        config = AugmentationConfig(policy=policy, flip=flip, magnitude=1.0, colour=0.1)
        views = (view(config, number, encode(ramp)) for number in range(60))
        return [one.mean(axis=(0, 2)) for one in views]

    for across in ramps(flip=False):
        assert across[-1] > across[0] + 1
        assert np.diff(across).min() > -1, "nothing of it runs backwards"
    assert 10 < sum(across[-1] < across[0] for across in ramps(flip=True)) < 50, "else half are"


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
def test_every_operation_comes_up(policy):
    """The views of a picture include each single operation at its strength."""
    config = AugmentationConfig(policy=policy, magnitude=1.0, **WHOLE)
    seeds = tf.stack([tf.zeros(500, tf.int64), tf.range(500, dtype=tf.int64)], axis=1)
    encoded = encode(draw())
    make = augmented_view(SIZE, config)
    views = np.asarray([make(encoded, seed) for seed in seeds])
    picture = draw().astype(np.float32)
    unscaled = [name for name, row in OPERATIONS.items() if not row.largest]
    found = set()
    for name in OPERATIONS if policy == "randaugment" else unscaled:
        row = OPERATIONS[name]
        for sign in (1, -1) if row.is_signed else (1,):
            alone = np.clip(change(name, picture, sign * row.largest, "NEAREST"), 0, 255)
            if (np.abs(views - alone).max(axis=(1, 2, 3)) < 1e-2).any():
                found.add(name)
    assert found == set(OPERATIONS if policy == "randaugment" else unscaled)
    if policy == "trivialaugment":
        assert len({one.tobytes() for one in views}) > 300, "strengths are drawn"


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "identity"])
def test_an_operation_changes_a_picture_within_bounds(name):
    row, picture = OPERATIONS[name], draw().astype(np.float32)
    strong = np.clip(change(name, picture, row.largest), 0, 255)
    assert np.abs(strong - picture).max() > 2
    assert np.isfinite(strong).all()
    if row.largest:
        np.testing.assert_allclose(change(name, picture, 0.0), picture, atol=1e-2)
        weak = change(name, picture, row.largest / 4)
        if name not in ("posterize", "solarize"):
            assert 0 < np.abs(weak - picture).mean() < np.abs(strong - picture).mean()
    if row.largest and row.colours is None and name != "sharpness":
        assert strong.min() > 10, "borders are filled by the picture, not with black"


@pytest.mark.parametrize(
    ("name", "amount", "expected"),
    [
        ("posterize", 4.0, lambda image: ImageOps.posterize(image, 4)),
        ("solarize", 128.0, lambda image: ImageOps.solarize(image, 128)),
        ("equalize", 0.0, ImageOps.equalize),
        ("autocontrast", 0.0, ImageOps.autocontrast),
    ],
)
def test_colour_operations_agree_with_pillow(name, amount, expected):
    for picture in (draw(), np.full((SIZE, SIZE, 3), 77, np.uint8)):
        pillow = np.asarray(expected(Image.fromarray(picture)), np.float32)
        np.testing.assert_allclose(change(name, picture, amount), pillow, atol=1.0)


def test_a_domain_limits_the_operations():
    faint = choose_operations(AugmentationConfig(colour=0.05))
    assert set(OPERATIONS) - set(faint) == {"posterize", "solarize", "autocontrast", "equalize"}
    np.testing.assert_allclose(faint["brightness"].largest, 0.75 / 4)
    none = choose_operations(AugmentationConfig(colour=0.0))
    assert not {"brightness", "contrast", "saturation"} & set(none)
    assert choose_operations(AugmentationConfig())["rotate"].largest == 30
    assert choose_operations(AugmentationConfig(rotate=True))["rotate"].largest == 45


def test_erasing_puts_noise_in_one_rectangle_as_often_as_asked():
    white = encode(np.full((SIZE, SIZE, 3), 255, np.uint8))
    config = AugmentationConfig(policy="light", erasing=0.5, **WHOLE)
    # The light policy also crops, which does not change a white picture.
    erased = [(view(config, number, white) < 254.5).any(axis=2) for number in range(80)]
    shares = np.array([one.mean() for one in erased])
    assert 25 < (shares > 0).sum() < 55
    for one in (one for one in erased if one.any()):
        rows, columns = one.any(axis=1), one.any(axis=0)
        assert one[np.ix_(rows, columns)].mean() > 0.97, "noise may be white"
        assert np.ptp(np.flatnonzero(rows)) < rows.sum() + 1
    assert shares[shares > 0].min() > 0.005 and shares.max() <= 0.42


@pytest.fixture(scope="module")
def pictures(picture_folder):
    return load_data(DataConfig(source=str(picture_folder)), seed=0)


@pytest.fixture
def features(small_backbone, small_head, tmp_path):
    return small_run(small_backbone, small_head, tmp_path / "cache")


def phase(**changes) -> ResolvedPhase:
    values = {"name": "p", "epochs": 1, "learning_rate": 1e-3, "views": 2, "mixup": 0.0}
    return ResolvedPhase(**{**values, **changes})


def test_a_phase_stores_views_of_its_own_policy(features, pictures):
    cut = find_cut(features.network.backbone, features.network.head, 0)
    wanted = {0: [cut], 1: [cut]}
    make_phase_data(features, pictures, phases=[phase(augmentation="light")], batching=Batching(8))

    def missing(policy) -> list[int]:
        prefixes = features.hash_prefixes([cut], policy)
        tables = find_tables(features, pictures.train, wanted=wanted, prefixes=prefixes)
        return [tables[view, cut].missing.size for view in wanted]

    policies = ("light", None, "randaugment")
    assert [missing(policy) for policy in policies] == [[0, 0], [0, 42], [0, 42]]
    stored = compute_tables(
        features,
        pictures.train,
        wanted=wanted,
        split="training",
        prefixes=features.hash_prefixes([cut], "light"),
    )[1, cut]
    seeds = view_seeds(pictures.train.identities(), 0, 1)
    light = AugmentationConfig(policy="light")
    views = next(
        make_view_batches(pictures.train, augmented_view(32, light), batch_size=42, seeds=seeds)
    )
    network = features.network.backbone.network
    expected = features.network.head.pool(network(views / 127.5 - 1, training=False))
    difference = np.linalg.norm(stored.read().astype(np.float32) - expected)
    assert difference < 1e-3 * np.linalg.norm(expected)


def test_phases_of_two_policies_share_only_pictures_as_they_are(features, pictures):
    cuts = [
        find_cut(features.network.backbone, features.network.head, unfrozen) for unfrozen in (0, 3)
    ]
    phases = [phase(augmentation="light"), phase(name="top", unfreeze=3)]
    make_phase_data(features, pictures, phases=phases, batching=Batching(8))
    assert features.recorder.clock.items == 2 * 42 + 9
    prefixes = features.hash_prefixes(cuts)
    tables = find_tables(features, pictures.train, wanted={0: cuts, 1: cuts[1:]}, prefixes=prefixes)
    sizes = {key: table.missing.size for key, table in tables.items()}
    assert sizes == {(0, cuts[0]): 0, (0, cuts[1]): 0, (1, cuts[1]): 42}
    make_phase_data(features, pictures, phases=phases[1:], batching=Batching(8))
    assert features.recorder.clock.items == 3 * 42 + 9, "its second view alone"


def test_a_streamed_phase_takes_its_policy(features, pictures):
    cut = find_cut(
        features.network.backbone, features.network.head, len(features.network.backbone.blocks)
    )
    views = make_view_batches(pictures.train, plain_view(32), batch_size=42)
    plain = {one.tobytes() for one in next(views)}

    def share_plain(policy) -> float:
        streamed = phase(unfreeze=cut.unfrozen, views="stream", augmentation=policy)
        data = make_streamed_data(
            features, pictures, phase=streamed, cut=cut, batching=Batching(14)
        )
        seen = [one.tobytes() for x, _ in data.make_training() for one in x.numpy()]
        return np.mean([one in plain for one in seen])

    assert (share_plain("none"), share_plain(None)) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "policy", "views"),
    [
        ({"unfreeze": 0}, "standard", 1),
        ({"unfreeze": 0, "augmentation": "light"}, "standard", 8),
        ({"unfreeze": 0, "augmentation": "light", "views": 3}, "standard", 3),
        ({"unfreeze": 3}, "none", 1),
        ({"unfreeze": 3, "views": 4}, "none", 1),
        ({"unfreeze": 3, "views": "stream"}, "none", "stream"),
        ({"unfreeze": 3, "augmentation": "none"}, "standard", 1),
        ({"unfreeze": 3, "augmentation": "light"}, "none", 8),
    ],
)
def test_a_phase_has_the_views_that_its_policy_can_fill(changes, policy, views):
    asked = PhaseConfig(**{"name": "p", "learning_rate": 1e-3, **changes})
    assert fill_in(asked, 500, policy).views == views


def test_a_policy_of_its_own_is_seen_with_many_pictures_too():
    asked = {"name": "p", "learning_rate": 1e-3, "unfreeze": 3}
    assert fill_in(PhaseConfig(**asked), 5000).views == 1
    assert fill_in(PhaseConfig(**asked, augmentation="randaugment"), 5000).views == 2


def test_only_what_decides_the_views_is_in_their_name():
    def describe(**values):
        return AugmentationConfig(**values).describe()

    assert describe(magnitude=0.9) == describe() != describe(colour=0.1)
    assert describe(policy="light", colour=0.1) == describe(policy="light") != describe()
    assert describe(policy="randaugment", magnitude=0.9) != describe(policy="randaugment")
    assert describe(policy="trivialaugment") != describe(policy="randaugment")
    assert describe(erasing=0.1) != describe()
    assert describe(policy="none", erasing=0.1) == "none"


def test_a_preview_is_what_is_trained_on(picture_folder, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    arguments = ["augment-preview", "--preset", "photos", "--data", str(picture_folder)]
    arguments += ["--set", "backbone.image_size_px=32", "phases.fine-tune.augmentation=light"]
    arguments += ["--pictures", "3", "--views", "2", "--out", str(out)]
    assert main(arguments) == 0
    assert "policy light" in capsys.readouterr().out
    sheet = np.asarray(Image.open(out).convert("RGB"), np.float32)
    data = load_data(DataConfig(source=str(picture_folder)), seed=0).train
    first = data.choose(np.array([0]))
    seeds = view_seeds(first.identities(), 0, 2)
    light = augmented_view(32, AugmentationConfig(policy="light"))
    for views in (
        make_view_batches(first, plain_view(32), batch_size=1),
        make_view_batches(first, light, batch_size=1, seeds=seeds),
    ):
        (expected,) = next(views)
        corners = np.abs(sheet[:-31, :-31] - expected[0, 0]).max(axis=2) <= 0.5
        differences = [
            np.abs(sheet[top : top + 32, left : left + 32] - expected).max()
            for top, left in np.argwhere(corners)
        ]
        assert min(differences, default=255) <= 0.5, "it stands on the sheet, unchanged"
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite", "--phase", "fine-tun"]) == 2
    assert "Did you mean 'fine-tune'?" in capsys.readouterr().err
