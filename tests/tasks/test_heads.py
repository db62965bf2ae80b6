"""Tests of heads, and of the models that they make with a backbone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from support.small import run_model

from tfxfer.backbones.whole import build_model
from tfxfer.config.head import HeadConfig
from tfxfer.tasks.heads import build_head


@pytest.mark.parametrize("kind", ["linear", "mlp"])
@pytest.mark.parametrize("pooling", ["avg", "max", "avg_max"])
def test_a_model_gives_probabilities_and_survives_saving(small_backbone, tmp_path, kind, pooling):
    head = build_head(HeadConfig(kind=kind, pooling=pooling, hidden_units=8), 4, seed=1)
    model = build_model(small_backbone, head)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    probabilities = run_model(model, pictures)
    assert probabilities.shape == (2, 4)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(run_model(loaded, pictures), probabilities, atol=1e-6)


def test_the_seed_decides_the_head_s_weights():
    def kernel(seed):
        head = build_head(HeadConfig(), 4, seed)
        head.classify(head.pool(keras.Input((2, 2, 8))))
        return np.array(head.layers[-1].kernel)

    np.testing.assert_array_equal(kernel(1), kernel(1))
    assert not np.array_equal(kernel(1), kernel(2))
