"""Tests that LiteRT files give the trained model's outputs and describe themselves."""

from __future__ import annotations

import io
import struct
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from support.small import COLOURS, draw_picture, run_model
from support.tiny_net import build_tiny_net

from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.blocks import list_blocks
from tfxfer.backbones.levels import add_levels
from tfxfer.backbones.whole import build_model
from tfxfer.config.head import HeadConfig
from tfxfer.errors import InputError
from tfxfer.export.litert import KINDS, convert_litert
from tfxfer.export.litert_float16 import list_large, mix_float16, round_weights
from tfxfer.litert.interpreter import LiteModel
from tfxfer.litert.metadata import load_labels
from tfxfer.modalities.pictures.networks.families import NETWORKS
from tfxfer.modalities.pictures.networks.preprocessing import PREPROCESSINGS
from tfxfer.modality import InputSpec
from tfxfer.prediction.loaders.litert import load_litert
from tfxfer.prediction.predictor import PredictionError
from tfxfer.tasks.heads import build_head

pytestmark = pytest.mark.slow

SIDE = 32
# People use names like these; a list of lines must give them back unchanged.
CLASSES = ("Käfer, grüner", "a\rb\u2028c", ' "quoted" ')


def make_items(count: int, seed: int) -> np.ndarray:
    """Return pictures of three colours in turn, lighter or darker, with a little noise."""
    generator = np.random.default_rng(seed)
    colours = np.resize(np.array(list(COLOURS.values())), (count, 1, 1, 3))
    light = generator.uniform(-15, 15, (count, 1, 1, 1))
    noise = generator.normal(0, 8, (count, SIDE, SIDE, 3))
    return (colours + light + noise).clip(0, 255).astype(np.float32)


TRAINED_ON, OTHERS = make_items(60, 0), make_items(60, 1)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A model that tells the colours apart by the outputs of several blocks.

    It is the tiny network, so wide that some of its weights are large.
    """
    keras.utils.set_random_seed(7)
    network = build_tiny_net(False, None, (SIDE, SIDE, 3), width=48)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(TRAINED_ON / 127.5 - 1, training=True)
    row = NETWORKS["TinyNet"]
    given = InputSpec("pictures", (SIDE, SIDE, 3))
    blocks = list_blocks(network, row)
    backbone = add_levels(Backbone(network, blocks, PREPROCESSINGS[row.preprocessing], given), 4)
    model = build_model(backbone, build_head(HeadConfig(levels=4), 3, seed=0))
    before = keras.Model(model.inputs, model.layers[-1].input)
    features = run_model(before, TRAINED_ON)
    scale = features.std(axis=0) + 1e-3
    fit = LogisticRegression(C=0.1).fit(features / scale, np.arange(60) % 3)
    model.layers[-1].set_weights([(fit.coef_ / scale).T, fit.intercept_])
    return model


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """A function that gives the file of each kind, which is converted once."""
    folder = tmp_path_factory.mktemp("litert")
    for kind in KINDS:
        convert_litert(model, kind, folder / f"{kind}.tflite", CLASSES, lambda: iter(TRAINED_ON))
    return folder


@pytest.mark.parametrize(
    ("kind", "tolerance", "mean"),
    [
        ("float32", 1e-5, 1e-5),
        ("float16", 3e-3, 2e-4),
        ("dynamic", 0.3, 0.02),
        ("int8", 0.3, 0.04),
    ],
)
def test_a_file_gives_what_the_model_gives(model, files, kind, tolerance, mean):
    predictor = load_litert(files / f"{kind}.tflite", with_embeddings=False)
    assert predictor.input.shape == (SIDE, SIDE, 3)
    expected = run_model(model, OTHERS)
    given = [predictor.run(list(OTHERS[start : start + 5])) for start in range(0, 60, 5)]
    given = np.concatenate([each.probabilities for each in given])
    assert given.dtype == np.float32
    assert np.abs(given - expected).max() < tolerance
    assert np.abs(given - expected).mean() < mean
    assert np.abs((given - expected).mean(axis=0)).max() < mean  # No class is favoured.
    assert (given.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.95
    one = predictor.run([OTHERS[7]]).probabilities
    np.testing.assert_allclose(one, given[7:8], atol=0.05 if kind == "dynamic" else 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_class_names_of_any_letters_lie_in_the_file(files, kind):
    path = files / f"{kind}.tflite"
    assert load_labels(path) == CLASSES
    assert load_litert(path, with_embeddings=False).classes == CLASSES
    assert zipfile.ZipFile(path).namelist() == ["labels.txt"]


def test_files_grow_smaller(files):
    sizes = [(files / f"{kind}.tflite").stat().st_size for kind in ("float32", "float16", "int8")]
    assert sizes == sorted(sizes, reverse=True)
    assert [each.name for each in files.iterdir() if each.suffix != ".tflite"] == []


def test_names_and_types_are_those_of_the_documentation(files):
    from ai_edge_litert.interpreter import Interpreter

    for kind in KINDS:
        interpreter = Interpreter(str(files / f"{kind}.tflite"))
        signature = {"inputs": ["pictures"], "outputs": ["probabilities"]}
        assert interpreter.get_signature_list() == {"serving_default": signature}
        taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        assert (taken["name"], given["name"]) == ("pictures", "probabilities")
        assert taken["shape_signature"].tolist() == [-1, SIDE, SIDE, 3]
        dtype = np.uint8 if kind == "int8" else np.float32
        assert taken["dtype"] == given["dtype"] == dtype
    # The bytes of a picture are the model's input without a change.
    assert taken["quantization"] == (1.0, 0)
    assert given["quantization"] == (1 / 256, 0)


def read_table(content: bytes, place: int):
    """Return a function from the number of a field of a flatbuffer to its place, or None."""
    slots = place - struct.unpack_from("<i", content, place)[0]
    size = struct.unpack_from("<H", content, slots)[0]

    def find(number: int) -> int | None:
        offset = 4 + 2 * number
        moved = struct.unpack_from("<H", content, slots + offset)[0] if offset < size else 0
        return place + moved if moved else None

    return find


def follow(content: bytes, place: int) -> int:
    return place + struct.unpack_from("<I", content, place)[0]


def read_text(content: bytes, place: int) -> str:
    start = follow(content, place)
    length = struct.unpack_from("<I", content, start)[0]
    return content[start + 4 : start + 4 + length].decode()


def read_floats(content: bytes, place: int) -> list[float]:
    start = follow(content, place)
    count = struct.unpack_from("<I", content, start)[0]
    return list(struct.unpack_from(f"<{count}f", content, start + 4))


def first(content: bytes, place: int):
    return read_table(content, follow(content, follow(content, place) + 4))


def test_the_metadata_say_what_goes_in_and_comes_out(files):
    from ai_edge_litert.schema_py_generated import ModelT

    model = ModelT.InitFromPackedBuf((files / "int8.tflite").read_bytes())
    (entry,) = [each for each in model.metadata if each.name == b"TFLITE_METADATA"]
    content = bytes(model.buffers[entry.buffer].data)
    assert content[4:8] == b"M001"
    root = read_table(content, follow(content, 0))
    assert read_text(content, root(0)).startswith("tfxfer_")
    assert read_text(content, root(7)) == "1.0.0"
    graph = first(content, root(3))
    taken, given = first(content, graph(2)), first(content, graph(3))
    assert read_text(content, taken(0)) == "pictures"
    kind = read_table(content, follow(content, taken(3)))
    assert content[kind(0)] == 2  # ImageProperties
    image = read_table(content, follow(content, kind(1)))
    assert content[image(0)] == 1  # RGB
    unit = first(content, taken(4))
    assert content[unit(0)] == 1  # NormalizationOptions
    options = read_table(content, follow(content, unit(1)))
    assert [read_floats(content, options(number)) for number in (0, 1)] == [[0.0], [1.0]]
    stats = read_table(content, follow(content, taken(5)))
    assert [read_floats(content, stats(number)) for number in (0, 1)] == [[255.0], [0.0]]
    assert read_text(content, given(0)) == "probabilities"
    labels = first(content, given(6))
    assert read_text(content, labels(0)) == "labels.txt"
    assert content[labels(2)] == 2  # TENSOR_AXIS_LABELS


@pytest.mark.parametrize("kind", KINDS)
def test_weights_lie_where_the_schema_promises(files, kind):
    from ai_edge_litert.schema_py_generated import Model

    content = (files / f"{kind}.tflite").read_bytes()
    model = Model.GetRootAs(content)
    places = []
    for number in range(model.BuffersLength()):
        tab = model.Buffers(number)._tab
        field = tab.Offset(4)
        if field:
            places.append(tab.Vector(field))
    assert len(places) > 20
    assert all(place % 16 == 0 for place in places)


def test_the_same_model_gives_the_same_file(model, files, tmp_path):
    path = tmp_path / "again.tflite"
    convert_litert(model, "float16", path, CLASSES, lambda: iter(TRAINED_ON))
    assert path.read_bytes() == (files / "float16.tflite").read_bytes()


def test_float16_rounds_as_many_weights_as_the_probabilities_bear(files):
    from ai_edge_litert import schema_py_generated as schema

    exact = (files / "float32.tflite").read_bytes()
    wanted = LiteModel(exact)(OTHERS)
    large = list_large(exact)
    assert len(large) > 2 and min(large.values()) >= 10_000
    most = np.abs(LiteModel(round_weights(exact, list(large)))(OTHERS) - wanted).max()
    sizes = []
    for tolerance in (0.0, 0.6 * most, most):
        mixed = mix_float16(exact, OTHERS, tolerance)
        assert np.abs(LiteModel(mixed)(OTHERS) - wanted).max() <= tolerance
        sizes.append(len(mixed))
        entries = schema.ModelT.InitFromPackedBuf(mixed).metadata
        assert b"reduced_precision_support" not in [entry.name for entry in entries]
    # The models round none, some and all of the weights.
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] == len(round_weights(exact, list(large)))


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_several_labels_and_a_hidden_layer(small_backbone, tmp_path, kind):
    """Probabilities of several labels are independent, so that they do not sum to 1."""
    keras.utils.set_random_seed(0)
    head = build_head(HeadConfig(kind="mlp"), 3, seed=0, activation="sigmoid")
    model = build_model(small_backbone, head)
    path = tmp_path / "several.tflite"
    convert_litert(model, kind, path, CLASSES, lambda: iter(TRAINED_ON))
    given = load_litert(path, with_embeddings=False).run(list(OTHERS)).probabilities
    expected = run_model(model, OTHERS)
    assert np.abs(given - expected).mean() < (0.1 if kind == "int8" else 1e-5)
    assert np.abs(expected.sum(axis=1) - 1).max() > 0.1


def test_encoded_pictures_are_prepared_as_in_training(files):
    predictor = load_litert(files / "float32.tflite", with_embeddings=False)
    file = io.BytesIO()
    draw_picture("blue", 0).save(file, "PNG")
    prepared = predictor.prepare(file.getvalue())
    assert prepared.shape == (SIDE, SIDE, 3)
    assert prepared.dtype == np.float32
    with pytest.raises(PredictionError) as raised:
        predictor.prepare(b"no picture")
    assert "\n" not in str(raised.value)


def test_class_names_may_stand_beside_the_file(files, tmp_path):
    content = (files / "float32.tflite").read_bytes()
    path = tmp_path / "bare.tflite"
    path.write_bytes(content[: content.rindex(b"PK\x03\x04")])
    with pytest.raises(InputError, match=r"classes\.txt"):
        load_litert(path, with_embeddings=False)
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    assert load_litert(path, with_embeddings=False).classes == ("a", "b", "c")


def test_what_is_no_model_of_pictures_is_refused(files, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"TFL3 no model")
    with pytest.raises(InputError, match="square RGB pictures"):
        load_litert(broken, with_embeddings=False)
    with pytest.raises(InputError, match="Embeddings come from"):
        load_litert(files / "float32.tflite", with_embeddings=True)


class Digamma(keras.layers.Layer):
    """A layer with an operation that LiteRT lacks."""

    def call(self, given):
        return tf.math.digamma(given + 1.0)


def test_an_operation_that_litert_lacks_is_named(tmp_path):
    pictures = keras.Input((SIDE, SIDE, 3))
    averages = keras.layers.GlobalAveragePooling2D()(Digamma()(pictures))
    model = keras.Model(pictures, keras.layers.Dense(3, activation="softmax")(averages))
    with pytest.raises(InputError, match=r"(?s)Received: .*Digamma.*SavedModel") as raised:
        convert_litert(model, "float32", tmp_path / "m.tflite", CLASSES)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_cannot_be_met_is_refused(small_backbone, small_head, tmp_path):
    model = build_model(small_backbone, small_head)
    path = tmp_path / "m.tflite"
    with pytest.raises(InputError, match="float32, float16, dynamic, int8"):
        convert_litert(model, "int4", path, CLASSES)
    with pytest.raises(InputError, match="some 200 pictures"):
        convert_litert(model, "int8", path, CLASSES, lambda: iter(()))
    with pytest.raises(InputError, match="line break"):
        convert_litert(model, "float32", path, ("a\nb", "c", "d"))
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_its_extra_is_named(model, files, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("ai_edge_litert")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    for action in (
        lambda: load_litert(files / "float32.tflite", with_embeddings=False),
        lambda: convert_litert(model, "float32", tmp_path / "m.tflite", CLASSES),
    ):
        with pytest.raises(InputError, match=r'pip install "tfxfer\[litert\]"'):
            action()
