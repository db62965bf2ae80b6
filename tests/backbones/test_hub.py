"""Tests of TF-Hub modules, which are backbones, and layers of Keras 3 like any other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.cutting import lowest_blocks

import tfxfer
from tfxfer.backbones.blocks import resolve_unfreeze
from tfxfer.backbones.build import build_backbone
from tfxfer.backbones.hub_layer import HubModule, load_hub_module
from tfxfer.backbones.whole import build_model
from tfxfer.config.backbone import BackboneConfig
from tfxfer.config.head import HeadConfig
from tfxfer.errors import InputError
from tfxfer.features.cut import build_prefix, find_cut
from tfxfer.features.engines import build_openvino, build_tensorflow
from tfxfer.features.fingerprint import hash_prefix
from tfxfer.modalities.pictures.networks.hub_module import export_hub_module
from tfxfer.phases.unfreeze import unfreeze_top
from tfxfer.tasks.heads import build_head

pytestmark = pytest.mark.slow

SIDE = 32


@pytest.fixture(scope="module")
def _tiny(_tiny):
    """The two lowest blocks of the tiny network, of which the module is made."""
    return lowest_blocks(_tiny, 2)


@pytest.fixture(scope="module")
def folder(_tiny, tmp_path_factory) -> Path:
    """A module made of the network that other tests use."""
    path = tmp_path_factory.mktemp("hub") / "tiny"
    export_hub_module(_tiny, path, weight_decay=1e-3)
    return path


def build(folder: Path, **settings):
    return build_backbone(BackboneConfig(name=f"hub:{folder}", **settings))


def save(path: Path, function, signatures=None, **attributes) -> Path:
    """Write a SavedModel by hand."""
    module = tf.Module()
    module.kept = attributes
    if function is not None:
        module.__call__ = function
    tf.saved_model.save(module, str(path), signatures)
    return path


def pictures(count: int = 4) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (count, SIDE, SIDE, 3)).astype(np.float32)


def test_features_are_those_of_the_network_that_it_was_made_of(folder, small_backbone, small_head):
    expected = build_model(small_backbone, small_head)(pictures(), training=False)
    given = build_model(build(folder), small_head)(pictures(), training=False)
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_variables_are_weights_with_paths_of_their_own(folder, small_backbone):
    layer = load_hub_module(folder)
    paths = [weight.path.removeprefix(f"{layer.name}/") for weight in layer.weights]
    assert len(set(paths)) == len(paths) == len(small_backbone.network.weights)
    assert {"stage1_conv.kernel", "stage1_norm.gamma", "stage2_depthwise.kernel"} <= set(paths)
    layer.trainable = True
    small_backbone.network.trainable = True
    assert len(layer.trainable_weights) == len(small_backbone.network.trainable_weights)
    layer.trainable = False
    assert not layer.trainable_weights
    assert len(layer.non_trainable_weights) == len(paths)


def train_a_step(backbone, unfreeze, batch_norm="frozen"):
    """Train one step of a phase; return by how much each weight and the output changed."""
    head = build_head(HeadConfig(dropout=0.0), 3, seed=0)
    unfreeze_top(backbone.network, backbone.blocks, unfreeze, batch_norm)
    model = build_model(backbone, head, trains_batch_norm=batch_norm == "train")
    model.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy")
    before = [weight.numpy() for weight in backbone.network.weights]
    features = backbone.network(pictures() / 255, training=False).numpy()
    labels = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    model.train_on_batch(pictures(), labels)
    moved = {
        weight.path: float(np.abs(weight.numpy() - old).max())
        for weight, old in zip(backbone.network.weights, before, strict=True)
    }
    after = backbone.network(pictures() / 255, training=False).numpy()
    return moved, float(np.abs(after - features).max())


def test_frozen_it_stays_as_it_is(folder):
    moved, output = train_a_step(build(folder), 0)
    assert set(moved.values()) == {0.0}
    assert output == 0.0


def test_gradients_move_every_trainable_weight_and_the_output(folder):
    backbone = build(folder)
    moved, output = train_a_step(backbone, "all")
    statistics = {path for path in moved if "moving_" in path}
    assert all(moved[path] == 0.0 for path in statistics)
    assert all(moved[path] > 0.0 for path in moved.keys() - statistics)
    assert output > 0.0


def test_training_mode_reaches_it_where_batch_norm_trains_only(folder):
    moved, _ = train_a_step(build(folder), "all", "train")
    assert all(moved[path] > 0.0 for path in moved if "moving_" in path)


def test_a_frozen_layer_runs_in_inference_mode(folder):
    layer = load_hub_module(folder)
    layer.trainable = False
    expected = layer(pictures() / 255, training=False)
    np.testing.assert_array_equal(layer(pictures() / 255, training=True), expected)


def test_regularization_losses_count_where_it_trains(folder):
    layer = load_hub_module(folder)
    layer(pictures() / 255)
    kernels = [w for w in layer.trainable_weights if w.path.endswith("kernel")]
    expected = sum(1e-3 * float(np.square(kernel).sum()) for kernel in kernels)
    assert float(sum(layer.losses)) == pytest.approx(expected, rel=1e-5)
    layer.trainable = False
    layer(pictures() / 255)
    assert not layer.losses


def test_mixed_precision_casts_at_the_border(folder):
    layer = load_hub_module(folder)
    rounded = tf.cast(pictures() / 255, tf.bfloat16)
    expected = layer(tf.cast(rounded, tf.float32)).numpy()
    layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
    given = layer(rounded)
    assert given.dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    np.testing.assert_allclose(tf.cast(given, tf.float32), expected, rtol=0.01)


@pytest.mark.parametrize("build_engine", [build_tensorflow, build_openvino])
def test_the_cut_and_the_engines_work_above_it(folder, small_backbone, small_head, build_engine):
    """An engine gives the same features as for the network that the module was made of."""
    features = []
    for backbone in (build(folder), small_backbone):
        prefix = build_prefix(backbone, small_head, [find_cut(backbone, small_head, 0)])
        ((given,),) = build_engine(prefix)([pictures()])
        features.append(given)
    difference = np.linalg.norm(features[0] - features[1]) / np.linalg.norm(features[1])
    assert difference < (1e-5 if build_engine is build_tensorflow else 0.1)


def test_stored_features_are_told_apart_by_the_module(folder, small_head):
    first, same, other = build(folder), build(folder), build(folder)
    weight = other.network.get_layer("module").weights[0]
    weight.assign(weight + 1)
    cut = find_cut(first, small_head, 0)
    hashes = [hash_prefix(backbone, small_head, cut) for backbone in (first, same, other)]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("unfreeze", [1, 4])
def test_a_number_of_blocks_is_refused_with_the_reason(folder, unfreeze):
    with pytest.raises(InputError, match=r"one block, whose layers.*unfreeze=all") as caught:
        resolve_unfreeze(unfreeze, build(folder).blocks)
    assert f"Received: unfreeze={unfreeze}" in str(caught.value)


def test_a_saved_model_loads_in_a_new_process_and_is_refused_in_safe_mode(
    folder, small_head, tmp_path
):
    model = build_model(build(folder), small_head)
    weights = [w + 0.01 * np.sign(w) for w in model.get_weights()]  # They differ from the module's.
    model.set_weights(weights)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "pictures.npy", pictures())
    code = (
        "import sys, numpy as np, keras, tfxfer\n"
        "folder = sys.argv[1]\n"
        "try: tfxfer.load_model(folder + '/model.keras')\n"
        "except tfxfer.InputError as error: assert 'trust=True' in str(error), error\n"
        "else: raise SystemExit('safe mode let it through')\n"
        "try: keras.models.load_model(folder + '/model.keras')\n"
        "except ValueError as error: assert 'safe_mode=False' in str(error), error\n"
        "else: raise SystemExit('safe mode let it through')\n"
        "model = tfxfer.load_model(folder + '/model.keras', trust=True)\n"
        "given = model(np.load(folder + '/pictures.npy'), training=False)\n"
        "np.save(folder + '/given.npy', given)\n"
        "model.save(folder + '/again.keras')\n"
        "again = keras.models.load_model(folder + '/again.keras', safe_mode=False)\n"
        "np.testing.assert_array_equal(again(np.load(folder + '/pictures.npy')), given)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=120)
    expected = model(pictures(), training=False)
    np.testing.assert_allclose(np.load(tmp_path / "given.npy"), expected, atol=1e-6)


def test_a_copy_of_the_config_alone_says_what_is_missing(folder):
    layer = load_hub_module(folder)
    with pytest.raises(ValueError, match="safe_mode=False"):
        HubModule.from_config(layer.get_config())
    assert json.loads(json.dumps(layer.get_config())) == layer.get_config()


def test_hyper_parameters_reach_the_module(tmp_path):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, SIDE, SIDE, 3]),
            tf.TensorSpec([], tf.float32),
        ]
    )
    def call(inputs, factor=2.0):
        return tf.reduce_mean(inputs, [1, 2]) * factor

    path = save(tmp_path / "module", call)
    plain = load_hub_module(path, arguments={"factor": 1.0})(pictures()).numpy()
    given = load_hub_module(path, arguments={"factor": 3.0})(pictures()).numpy()
    np.testing.assert_allclose(given, 3 * plain, rtol=1e-6)
    with pytest.raises(InputError, match=r"arguments \{'speed': 1\}"):
        load_hub_module(path, arguments={"speed": 1})


@tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
def mean_colours(inputs):
    return {"default": tf.reduce_mean(inputs, [1, 2]), "largest": tf.reduce_max(inputs, [1, 2])}


def test_signatures_alone_are_used_frozen(tmp_path):
    path = save(tmp_path / "module", None, {"serving_default": mean_colours})
    backbone = build(path, image_size_px=SIDE)
    assert any("can only be used frozen" in note for note in backbone.notes)
    with pytest.raises(InputError, match=r"only be used frozen: it is called through a signature"):
        resolve_unfreeze("all", backbone.blocks)
    np.testing.assert_allclose(
        backbone.network(pictures()), pictures().mean(axis=(1, 2)), rtol=1e-5
    )
    largest = build(path, image_size_px=SIDE, output="largest")
    np.testing.assert_allclose(largest.network(pictures()), pictures().max(axis=(1, 2)))


def test_a_module_of_tensorflow_1_is_used_frozen(tmp_path):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = v1.placeholder(tf.float32, [None, SIDE, SIDE, 3])
        kernel = v1.get_variable("kernel", [3, 5], initializer=v1.ones_initializer())
        outputs = tf.reduce_mean(inputs, [1, 2]) @ kernel
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(tmp_path / "module"))
        signature = v1.saved_model.predict_signature_def({"images": inputs}, {"default": outputs})
        builder.add_meta_graph_and_variables(session, [], {"default": signature})
        builder.save()
    (tmp_path / "module" / "tfhub_module.pb").write_bytes(b"\x08\x03")
    backbone = build(tmp_path / "module")
    assert "a module of TensorFlow 1" in backbone.blocks[0].why_frozen
    assert backbone.blocks[0].parameters == 15
    given = backbone.network(pictures()).numpy()
    np.testing.assert_allclose(given, pictures().mean(axis=(1, 2)) @ np.ones((3, 5)), rtol=1e-5)


def function_of(shape, dtype=tf.float32, result=None):
    @tf.function(input_signature=[tf.TensorSpec([None, *shape], dtype)])
    def call(inputs):
        return tf.zeros([4, 2]) if result is None else result(inputs)

    return call


@pytest.mark.parametrize(
    ("function", "settings", "expected"),
    [
        (function_of([], tf.string), {}, r"must take pictures.*which takes \[batch, \] string"),
        (function_of([SIDE, SIDE, 1]), {}, r"must take pictures.*\[batch, 32, 32, 1\] float32"),
        (function_of([SIDE, SIDE, 3], tf.uint8), {}, "must take pictures.*uint8"),
        (function_of([SIDE, 48, 3]), {}, "square pictures. Received: .* 32 × 48"),
        (function_of([SIDE, SIDE, 3]), {"image_size_px": 64}, "must be 32 for"),
        (function_of([None, None, 3]), {}, r"any size.*backbone.image_size_px=224"),
        (function_of([SIDE, SIDE, 3], result=lambda x: x[:, 0]), {}, r"gives \[batch, 32, 3\]"),
        (
            function_of([SIDE, SIDE, 3], result=lambda x: tf.cast(x[:, 0, 0], tf.int32)),
            {},
            "int32. Take a module of feature vectors",
        ),
        (
            function_of([SIDE, SIDE, 3], result=lambda x: {"a": x[:, 0, 0], "b": x[:, 0, 1]}),
            {},
            "one is taken: a, b. Received: output=None",
        ),
        (function_of([SIDE, SIDE, 3]), {"signature": "other"}, "asked for 'other'"),
        (function_of([SIDE, SIDE, 3]), {"output": "a"}, "gives one tensor. Leave it out"),
    ],
)
def test_what_is_no_feature_vector_of_pictures_is_named(tmp_path, function, settings, expected):
    path = save(tmp_path / "module", function)
    with pytest.raises(InputError, match=expected):
        build(path, **settings)


def test_a_broken_module_is_named(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(InputError, match=r"that TensorFlow .* can load. Received"):
        build(tmp_path)


def test_a_module_of_another_kind_serves_arrays(tmp_path):
    """The module has the interface of a keyword spotter: spectrograms [49, 10, 1] to logits."""
    module = tf.Module()
    kernel = tf.Variable(tf.random.normal([490, 12], seed=1), name="dense/kernel")
    bias = tf.Variable(tf.zeros([12]), name="dense/bias")

    @tf.function(input_signature=[tf.TensorSpec([None, 49, 10, 1], tf.float32)])
    def call(inputs):
        return tf.reshape(inputs, [-1, 490]) @ kernel + bias

    module.__call__ = call
    module.kept = [kernel, bias]
    tf.saved_model.save(module, str(tmp_path / "spotter"))
    layer = tfxfer.load_hub_module(tmp_path / "spotter")
    assert [weight.path.split("/")[-1] for weight in layer.weights] == [
        "dense.kernel",
        "dense.bias",
    ]
    inputs = keras.Input((49, 10, 1))
    outputs = keras.layers.Dense(2, activation="softmax")(layer(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    generator = np.random.default_rng(0)
    words = generator.integers(0, 2, 64)
    sounds = generator.normal(words[:, None, None, None], 1.0, (64, 49, 10, 1))
    before = kernel.numpy()
    history = model.fit(sounds, words, epochs=5, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    assert np.abs(layer.weights[0].numpy() - before).max() > 0


def test_a_run_trains_both_phases_and_what_it_leaves_serves(folder, picture_folder, tmp_path):
    result = tfxfer.train(
        "photos",
        data=picture_folder,
        backbone=f"hub:{folder}",
        settings={
            "data.batch_size": 8,
            "features.engine": "tensorflow",
            "phases.fine-tune.epochs": 1,
            "phases.fine-tune.precision": "float32",
            "phases.fine-tune.unfreeze": "all",
        },
        out=tmp_path / "run",
        quiet=True,
    )
    assert [phase.unfrozen for phase in result.phases] == [(), ("module",)]
    assert any("sha256" in note for note in result.plan.notes)
    model = tfxfer.load_model(tmp_path / "run", trust=True)
    served = tf.saved_model.load(str(tmp_path / "run" / "export" / "1"))
    given = served.signatures["serving_default"](pictures=tf.constant(pictures()))
    np.testing.assert_allclose(given["probabilities"], model(pictures()), atol=1e-5)
    replayed = tfxfer.load_config(tmp_path / "run" / "config.toml")
    assert replayed.backbone.name == f"hub:{folder}"
