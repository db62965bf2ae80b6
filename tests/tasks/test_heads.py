"""Tests of heads, and of the models that they make with a backbone."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer.config.backbone import BackboneConfig
from tfxfer.config.head import HeadConfig
from tfxfer.tasks.heads import build_head, build_model


@pytest.mark.parametrize("kind", ["linear", "mlp"])
@pytest.mark.parametrize("pooling", ["avg", "max", "avg_max"])
def test_a_model_gives_probabilities_and_survives_saving(tmp_path, kind, pooling):
    backbone = tfxfer.build_backbone(BackboneConfig(name="VGG16", weights="none", image_size_px=32))
    head = build_head(HeadConfig(kind=kind, pooling=pooling, hidden_units=8), 4, seed=1)
    model = build_model(backbone, head)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    probabilities = model.predict(pictures, verbose=0)
    assert probabilities.shape == (2, 4)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(pictures, verbose=0), probabilities, atol=1e-6)


def test_the_seed_decides_the_head_s_weights():
    def kernel(seed):
        head = build_head(HeadConfig(), 4, seed)
        head.classify(head.pool(keras.Input((2, 2, 8))))
        return np.array(head.layers[-1].kernel)

    np.testing.assert_array_equal(kernel(1), kernel(1))
    assert not np.array_equal(kernel(1), kernel(2))
