"""Real weights and photographs, where they are at hand."""

from __future__ import annotations

import pytest

import tfxfer
from tfxfer.errors import InputError

WEIGHTS = "weights/mobilenetv2_100_224_{}_notop.weights.h5"


@pytest.mark.shared
@pytest.mark.slow
def test_a_network_that_knows_birds_tells_ten_species_apart(shared, tmp_path):
    """A linear head comes to 0.97 and more; chance is 0.10."""
    preset = tmp_path / "head.toml"
    preset.write_text('[[phases]]\nname = "head"\nlearning_rate = 1e-3\n')
    result = tfxfer.train(
        preset,
        data=shared / "data" / "birds10",
        backbone="MobileNetV2",
        weights=shared / WEIGHTS.format("inat_bird"),
        out=tmp_path / "run",
        quiet=True,
    )
    assert result.validation.accuracy >= 0.965
    assert any("no test split" in note for note in result.plan.notes)


@pytest.mark.shared
def test_a_folder_with_a_gif_in_it_is_refused_by_name(shared, tmp_path):
    with pytest.raises(InputError, match=r"imageNotFound\.gif: a GIF file"):
        tfxfer.train(
            "photos",
            data=shared / "data" / "hymenoptera",
            backbone="MobileNetV2",
            weights=shared / WEIGHTS.format("imagenet"),
            out=tmp_path / "run",
            quiet=True,
        )
    assert list(tmp_path.iterdir()) == []
