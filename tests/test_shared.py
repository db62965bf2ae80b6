"""Real weights and photographs, where they are at hand."""

from __future__ import annotations

import pytest

import tfxfer
from tfxfer.errors import InputError

IMAGENET = "weights/mobilenetv2_100_224_imagenet_notop.weights.h5"


@pytest.mark.shared
@pytest.mark.slow
def test_imagenet_weights_tell_ants_from_bees(shared, tmp_path):
    result = tfxfer.train(
        "photos",
        data=shared / "data" / "hymenoptera",
        backbone="MobileNetV2",
        weights=shared / IMAGENET,
        settings={
            "data.on_bad": "quarantine",
            "backbone.image_size_px": 160,
            "phases.head.min_steps": 60,
            "phases.fine-tune.epochs": 1,
            "phases.fine-tune.min_steps": 0,
        },
        out=tmp_path / "run",
        quiet=True,
    )
    assert [file.path.rsplit("/", 1)[1] for file in result.quarantined] == ["imageNotFound.gif"]
    assert result.validation.accuracy >= 0.9
    assert (result.path / "quarantine.json").is_file()


@pytest.mark.shared
def test_a_folder_with_a_gif_in_it_is_refused_by_name(shared, tmp_path):
    with pytest.raises(InputError, match=r"imageNotFound\.gif: a GIF file"):
        tfxfer.train(
            "photos",
            data=shared / "data" / "hymenoptera",
            backbone="MobileNetV2",
            weights=shared / IMAGENET,
            out=tmp_path / "run",
            quiet=True,
        )
    assert list(tmp_path.iterdir()) == []
