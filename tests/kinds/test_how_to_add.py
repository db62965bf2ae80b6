"""What CONTRIBUTING says of adding: a row in its table is enough, and everything finds it."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from support.parts import head_config, train_parts
from support.settings import data_config
from support.small import COLOURS, write_classes

import tfxfer
from tfxfer.config.backbone import BackboneConfig
from tfxfer.config.head import HeadConfig
from tfxfer.export import formats
from tfxfer.export.formats import Format
from tfxfer.kinds import TASKS
from tfxfer.modalities.pictures.networks import families
from tfxfer.modalities.pictures.networks.families import Family
from tfxfer.modality import InputSpec
from tfxfer.prediction import load
from tfxfer.prediction.predictor import Prediction, Predictor
from tfxfer.prediction.prepare import make_prepare, read_classes
from tfxfer.sources import sources
from tfxfer.sources.folder import read_folder
from tfxfer.tasks import heads
from tfxfer.training.load import load_data

pytestmark = pytest.mark.slow


def tiny_net(include_top, weights, input_shape, alpha=None):
    """A network as `keras.applications` would have it: three blocks of one convolution each."""
    inputs = tensor = keras.Input(input_shape)
    for number in (1, 2, 3):
        tensor = keras.layers.Conv2D(4 * number, 3, name=f"stage{number}_conv")(tensor)
        tensor = keras.layers.ReLU(name=f"stage{number}_out")(tensor)
    return keras.Model(inputs, tensor, name="tiny_net")


def test_a_family_is_added_by_its_row(monkeypatch):
    row = Family("TinyNet", {"TinyNet": 32}, r"(?P<name>stage\d)_out$", "tf", "MIT")
    monkeypatch.setattr(keras.applications, "TinyNet", tiny_net, raising=False)
    monkeypatch.setitem(families.NETWORKS, "TinyNet", row)
    monkeypatch.setitem(families.COUNTS, "TinyNet", (1_300, 3))
    backbone = tfxfer.build_backbone(BackboneConfig(name="TinyNet", weights="none"))
    assert [block.name for block in backbone.blocks] == ["stage1", "stage2", "stage3"]
    assert backbone.input.shape == (32, 32, 3)
    with pytest.raises(ValueError, match="Did you mean 'TinyNet'"):
        BackboneConfig(name="TinyNett")


def test_a_source_is_added_by_its_row(monkeypatch, tmp_path):
    def list_pointer(config, cache, tasks):
        """A file that names a folder."""
        folder = Path(str(config.source)).read_text(encoding="utf-8")
        return read_folder(folder, str(config.source), config, tasks=tasks)

    monkeypatch.setitem(sources.ENDINGS, ".pointer", list_pointer)
    write_classes(tmp_path / "photos", dict.fromkeys(COLOURS, 6))
    pointer = tmp_path / "mine.pointer"
    pointer.write_text(str(tmp_path / "photos"), encoding="utf-8")
    data = load_data(data_config(source=str(pointer)), seed=0)
    assert data.classes == tuple(sorted(COLOURS))
    assert sum(data.counts.values()) == 18


@pytest.mark.parametrize("task", TASKS)
def test_a_head_is_added_by_its_row(monkeypatch, task):
    def bottleneck_layers(config):
        """A narrow layer before the probabilities."""
        return [keras.layers.Dense(2, dtype="float32", name="head_dropout")]

    monkeypatch.setitem(heads.HEADS, "linear", bottleneck_layers)
    head = TASKS[task].build_head(HeadConfig(), 3, seed=0)
    inputs = keras.Input((5,))
    model = keras.Model(inputs, head.classify(inputs))
    assert [layer.units for layer in model.layers[1:]] == [2, 3]


def write_numbers(model, path, classes, pictures):
    """The weights alone, for a reader that knows the network."""
    np.savez(path, **{str(n): weight.numpy() for n, weight in enumerate(model.weights)})


def test_a_format_is_added_by_its_rows(monkeypatch, picture_folder, weights_file, tmp_path):
    result = train_parts(head_config(picture_folder, weights_file), tmp_path / "run")

    def load_numbers(path: Path, with_embeddings: bool) -> Predictor:
        model = tfxfer.load_model(result.path)
        stored = np.load(path)
        model.set_weights([stored[str(n)] for n in range(len(stored.files))])
        spec = InputSpec.of(model)

        def run(pictures) -> Prediction:
            return Prediction(model(np.stack(pictures)).numpy())

        return Predictor(str(path), read_classes(path.parent, 3), make_prepare(spec), run, spec)

    monkeypatch.setitem(formats.FORMATS, "numbers", Format("model.npz", write_numbers, 1e-5))
    monkeypatch.setitem(load.ENDINGS, ".npz", load_numbers)
    (row,) = tfxfer.export_run(result.path, ["numbers"], quiet=True)
    assert row.format == "numbers"
    assert row.max_difference < 1e-5
    assert (result.path / "export" / "model.npz").is_file()
