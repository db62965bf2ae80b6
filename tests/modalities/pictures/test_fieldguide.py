"""Tests of the embedded data set: its species, pictures, builder and weights."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from support.small import run_model

from tfxfer.errors import InputError
from tfxfer.modalities.pictures.fieldguide import traits
from tfxfer.modalities.pictures.fieldguide.builder import picture_seed
from tfxfer.modalities.pictures.fieldguide.folder import write_bird_folder
from tfxfer.modalities.pictures.fieldguide.parallel import render_all
from tfxfer.modalities.pictures.fieldguide.render import render_jpeg, render_picture
from tfxfer.modalities.pictures.fieldguide.species import (
    MIN_TRAIT_DISTANCE,
    SOURCE_SPECIES,
    TARGET_SPECIES,
)
from tfxfer.modalities.pictures.fieldguide.traits import trait_distance, trait_tuple

EMBEDDED = Path(__file__).parents[3] / "tfxfer/modalities/pictures/networks/embedded"
WEIGHTS = EMBEDDED / "mobilenetv2_035_96_fieldguide.weights.h5"


def _pixels(species: traits.Species, seed: int, size_px: int = 128) -> np.ndarray:
    return np.asarray(render_picture(species, np.random.default_rng(seed), size_px))


def test_targets_are_unseen_by_the_sources() -> None:
    assert len(TARGET_SPECIES) == 12
    assert len(SOURCE_SPECIES) >= 120
    source_names = {species.name for species in SOURCE_SPECIES}
    target_names = {species.name for species in TARGET_SPECIES}
    assert len(source_names) == len(SOURCE_SPECIES)
    assert len(target_names) == len(TARGET_SPECIES)
    assert not source_names & target_names
    assert not set(map(trait_tuple, SOURCE_SPECIES)) & set(map(trait_tuple, TARGET_SPECIES))
    distances = [trait_distance(a, b) for a in TARGET_SPECIES for b in SOURCE_SPECIES]
    assert min(distances) >= MIN_TRAIT_DISTANCE >= 3


def test_some_targets_are_sisters() -> None:
    pairs = [(a, b) for a in TARGET_SPECIES for b in TARGET_SPECIES if a.name < b.name]
    close = [pair for pair in pairs if trait_distance(*pair) <= 6]
    assert len(close) >= 6
    assert all(a.silhouette == b.silhouette for a, b in close)


def test_species_use_the_vocabulary_and_labels_are_plain() -> None:
    for species in (*SOURCE_SPECIES, *TARGET_SPECIES):
        assert species.name.replace("_", "").isalpha() and species.name.islower()
        for trait, value in zip(traits.TRAIT_NAMES, trait_tuple(species), strict=True):
            assert value in traits.TRAIT_VALUES[trait], (species.name, trait)


def test_trait_distance_counts_differences() -> None:
    first = TARGET_SPECIES[0]
    other = dataclasses.replace(first, name="other", crown="moss", iris="white")
    assert trait_distance(first, first) == 0
    assert trait_distance(first, other) == 2


def test_rendering_follows_the_seed() -> None:
    species = TARGET_SPECIES[0]
    assert np.array_equal(_pixels(species, 5), _pixels(species, 5))
    assert not np.array_equal(_pixels(species, 5), _pixels(species, 6))
    assert render_jpeg(species, np.random.default_rng(1)) == render_jpeg(
        species, np.random.default_rng(1)
    )


@pytest.mark.parametrize("size_px", [64, 128, 200])
def test_size_and_mode(size_px: int) -> None:
    picture = render_picture(TARGET_SPECIES[3], np.random.default_rng(0), size_px)
    assert (picture.mode, picture.size) == ("RGB", (size_px, size_px))


def test_every_trait_value_can_be_rendered_and_silhouettes_differ() -> None:
    base = TARGET_SPECIES[0]
    for trait, values in traits.TRAIT_VALUES.items():
        for index, value in enumerate(values):
            species = dataclasses.replace(base, **{trait: value})
            assert _pixels(species, index, 64).std() > 5
    shapes = {
        _pixels(dataclasses.replace(base, silhouette=silhouette), 3, 64).tobytes()
        for silhouette in traits.SILHOUETTES
    }
    assert len(shapes) == len(traits.SILHOUETTES)


def test_pictures_are_the_same_whether_one_process_renders_them_or_several() -> None:
    orders = [("target", index % 12, [1, 1, index % 12, index]) for index in range(128)]
    together = render_all(orders, 32)
    assert len(set(together)) == 128
    for index in (0, 1, 63, 127):
        assert render_all(orders[index : index + 1], 32) == [together[index]]


def test_builder_prepares_labelled_pictures(tmp_path: Path) -> None:
    builder_module = pytest.importorskip("tfxfer.modalities.pictures.fieldguide.builder")
    config = builder_module.FieldguideConfig(
        name="tiny", pictures_per_species={"train": 2, "validation": 1, "test": 1}
    )
    builder = builder_module.prepare_fieldguide(tmp_path, config)
    counts = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert counts == {"train": 24, "validation": 12, "test": 12}
    assert builder.info.features["label"].names == [species.name for species in TARGET_SPECIES]
    labels = []
    for example in builder.as_dataset(split="train").as_numpy_iterator():
        assert example["image"].shape == (128, 128, 3)
        assert example["image"].dtype == np.uint8
        labels.append(int(example["label"]))
    assert np.array_equal(np.bincount(labels), [2] * 12)


def test_no_two_splits_share_a_seed() -> None:
    builder_module = pytest.importorskip("tfxfer.modalities.pictures.fieldguide.builder")
    seeds = {
        tuple(builder_module.picture_seed(group, split, 0, 0))
        for group in ("target", "source")
        for split in ("train", "validation", "test")
    }
    assert len(seeds) == 6


def test_shipped_weights_are_small_and_of_known_origin() -> None:
    record = json.loads(WEIGHTS.with_name("mobilenetv2_035_96_fieldguide.json").read_text())
    assert WEIGHTS.stat().st_size <= 2_000_000
    assert record["sha256"] == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert record["licence"] == "Apache-2.0"
    assert record["source_species"] == len(SOURCE_SPECIES)
    assert record["target_species_seen"] == 0


def test_shipped_weights_load_into_the_network() -> None:
    keras = pytest.importorskip("keras")
    network = keras.applications.MobileNetV2(
        include_top=False, alpha=0.35, input_shape=(96, 96, 3), weights=None
    )
    before = [weight.numpy().copy() for weight in network.weights if "kernel" in weight.path]
    network.load_weights(WEIGHTS)
    after = [weight.numpy() for weight in network.weights if "kernel" in weight.path]
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    pictures = np.stack([_pixels(species, 0, 96) for species in TARGET_SPECIES[:4]])
    features = run_model(network, pictures / 127.5 - 1.0)
    assert features.shape == (4, 3, 3, 1280)
    assert np.isfinite(features).all()
    assert features.std() > 0.05


def test_birds_are_written_as_files_that_the_data_set_has_not(tmp_path) -> None:
    folder = write_bird_folder(tmp_path / "birds", species=2, pictures=3)
    names = [species.name for species in TARGET_SPECIES[:2]]
    files = sorted(folder.rglob("*.jpg"))
    assert files == sorted(folder / name / f"00{n}.jpg" for name in names for n in range(3))
    first = [file.read_bytes() for file in files]
    assert len(set(first)) == 6
    own = [picture_seed("target", split, 0, 0) for split in ("train", "validation", "test")]
    assert not set(first) & set(render_all([("target", 0, seed) for seed in own], 128))
    write_bird_folder(folder, species=2, pictures=3)
    assert [file.read_bytes() for file in files] == first


@pytest.mark.parametrize("wanted", [{"species": 13}, {"species": 0}, {"pictures": 0}])
def test_birds_that_are_not_there_are_refused(wanted, tmp_path) -> None:
    with pytest.raises(InputError, match=r"1…12.*Received"):
        write_bird_folder(tmp_path / "birds", **wanted)
    assert not (tmp_path / "birds").exists()
