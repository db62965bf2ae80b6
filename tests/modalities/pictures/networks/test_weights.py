"""Tests of the sources of weights, and of weights that do not fit."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras.src.applications.efficientnet import DEFAULT_BLOCKS_ARGS, EfficientNet
from support.small import run_model

from tfxfer.backbones.build import build_backbone
from tfxfer.backbones.weights import check_weights
from tfxfer.config.backbone import BackboneConfig
from tfxfer.errors import InputError
from tfxfer.modalities.pictures.networks.applications import build_network, load_weights
from tfxfer.modalities.pictures.networks.preprocessing import TORCH_MEAN, TORCH_STD

pytestmark = pytest.mark.slow


def load(path, name="MobileNet", alpha=0.25, size=32):
    return build_backbone(
        BackboneConfig(name=name, weights=str(path), alpha=alpha, image_size_px=size)
    )


def test_a_file_s_weights_are_loaded(weights_file):
    reference = build_network("TinyNet", 64)
    reference.load_weights(weights_file)
    loaded = load(weights_file, "TinyNet", None).network
    for ours, theirs in zip(loaded.weights, reference.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "alpha"), [("MobileNet", 0.5), ("MobileNetV2", 0.35), ("VGG16", None)]
)
def test_weights_of_another_network_are_refused(mobilenet_file, name, alpha):
    with pytest.raises(InputError, match="weights must be those of"):
        load(mobilenet_file, name, alpha)


def test_weights_of_a_larger_network_are_not_loaded_in_part(tmp_path):
    path = tmp_path / "deep.weights.h5"
    build_network("VGG19", 32).save_weights(path)
    with pytest.raises(InputError, match="the file holds 32 tensors, the network 26"):
        load(path, "VGG16", None)


def test_files_that_are_none_or_broken_are_refused(tmp_path, weights_file):
    with pytest.raises(InputError, match="which is not there"):
        load(tmp_path / "gone.weights.h5", "TinyNet", None)
    with pytest.raises(ValueError, match="a file that ends in"):
        load(tmp_path / "model.pt")
    with pytest.raises(ValueError, match="Did you mean 'imagenet'"):
        load("imagnet")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty. Copy or download it again"),
        (b"\n<!DOCTYPE html><html><title>weights</title></html>", "is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS"),
        (b"PK\x03\x04" + bytes(2000), "is cut off or damaged. Copy or download it again"),
        (b"\x80\x02}q\x00.", "is neither HDF5 nor a .keras archive"),
        (None, "is cut off or damaged. Copy or download it again"),
    ],
)
def test_a_file_that_holds_no_weights_is_refused_before_items_are_read(
    content, reason, tmp_path, weights_file
):
    whole = weights_file.read_bytes()
    for size in (100, 1000, len(whole) // 2, len(whole) - 1) if content is None else (0,):
        path = tmp_path / "broken.weights.h5"
        path.write_bytes(whole[:size] if content is None else content)
        config = BackboneConfig(name="TinyNet", weights=str(path))
        with pytest.raises(InputError) as refused:
            check_weights(config)
        assert f"Received: weights={str(path)!r}, which {reason}" in str(refused.value)
        with pytest.raises(InputError, match="weights must name a file of weights"):
            load(path, "TinyNet", None)


def write_keras_download(folder, name):
    """Put random weights where Keras keeps its downloads, in the format of that file."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    network = build_network("MobileNet", 128, 0.25)
    (folder / "models").mkdir(parents=True)
    with h5py.File(folder / "models" / name, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return network


NO_TOP = "mobilenet_2_5_128_tf_no_top.h5"


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """An empty Keras home, as on a new machine."""
    from keras.src.utils import file_utils

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path / "keras"))
    return tmp_path / "keras"


def test_imagenet_weights_come_from_keras_cache(keras_home):
    expected = write_keras_download(keras_home, NO_TOP)
    network = load("imagenet", size=128).network
    for ours, theirs in zip(network.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_downloaded_file_can_be_given_as_a_file(keras_home):
    expected = write_keras_download(keras_home, NO_TOP)
    network = load(keras_home / "models" / NO_TOP, size=64).network
    np.testing.assert_array_equal(network.get_weights()[0], expected.get_weights()[0])


def test_without_a_network_the_error_says_what_works(keras_home):
    with pytest.raises(InputError, match="could not be fetched") as caught:
        load("imagenet", size=128)
    message = str(caught.value)
    assert "storage.googleapis.com" in message
    assert "--weights FILE" in message
    assert str(keras_home / "models") in message
    assert "--preset birds" in message


def test_a_width_without_imagenet_weights_is_refused():
    with pytest.raises(InputError, match=r"exist for alpha in \(0\.25, 0\.5"):
        load("imagenet", alpha=0.6)


def test_a_size_below_the_network_s_smallest_is_refused():
    with pytest.raises(InputError, match="at least 75 for InceptionV3"):
        build_backbone(BackboneConfig(name="InceptionV3", weights="none", image_size_px=64))


def build_efficientnet():
    """Build the first block of EfficientNetB0, before which the pictures are normalised."""
    return EfficientNet(
        1.0, 1.0, 32, blocks_args=DEFAULT_BLOCKS_ARGS[:1], name="efficientnetb0",
        include_top=False, weights=None, input_shape=(32, 32, 3), weights_name="b0",
    )  # fmt: skip


def test_efficientnet_s_imagenet_file_is_normalised_by_the_deviation(tmp_path):
    """Keras's published file holds standard deviations where the layer expects variances."""
    network = build_efficientnet()
    layer = next(x for x in network.layers if isinstance(x, keras.layers.Normalization))
    layer.adapt_mean.assign(TORCH_MEAN)
    layer.adapt_variance.assign(TORCH_STD)
    network.save_weights(tmp_path / "b0.weights.h5")
    loaded = build_efficientnet()
    load_weights(loaded, str(tmp_path / "b0.weights.h5"))
    layer = next(x for x in loaded.layers if isinstance(x, keras.layers.Normalization))
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    normalise = keras.Model(loaded.inputs[0], layer.output)
    expected = (pictures / 255 - TORCH_MEAN) / TORCH_STD
    np.testing.assert_allclose(run_model(normalise, pictures), expected, atol=1e-5)


def test_a_width_that_cannot_be_built_is_an_error():
    with pytest.raises(InputError, match=r"alpha=0\.01"):
        load("none", alpha=0.01)


def test_no_weights_are_random_ones():
    keras.utils.set_random_seed(1)
    first, second = (load("none", "TinyNet", None).network.get_weights() for _ in range(2))
    assert not np.array_equal(first[0], second[0])
