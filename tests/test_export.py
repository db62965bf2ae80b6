"""An export that differs from the model is not passed off as it."""

from __future__ import annotations

import numpy as np
import pytest

import tfxfer
from tfxfer.config import BackboneConfig, DataConfig, HeadConfig
from tfxfer.data.sources import load_data
from tfxfer.export.saved_model import ExportMismatchError, compare_export, export_saved_model


@pytest.fixture
def model(weights_file):
    backbone = tfxfer.build_backbone(
        BackboneConfig(name="MobileNet", weights=str(weights_file), alpha=0.25, image_size_px=32)
    )
    return tfxfer.build_model(backbone, tfxfer.build_head(HeadConfig(), 3, seed=0))


def test_an_export_that_differs_fails_loudly(model, picture_folder, tmp_path):
    validation = load_data(DataConfig(source=str(picture_folder)), seed=0).validation
    exported = export_saved_model(model, ["a", "b", "c"], tmp_path / "1", validation)
    assert exported.max_difference < 1e-5
    assert exported.pictures_compared == 9
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + np.array([0.5, 0, 0], np.float32)])
    with pytest.raises(ExportMismatchError, match="must give the trained model's probabilities"):
        compare_export(model, tmp_path / "1", validation)
