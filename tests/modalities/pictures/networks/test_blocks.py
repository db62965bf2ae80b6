"""Tests of the blocks of Keras Applications networks; `test_cut` tests what each block holds."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest
from support.small import outline_network, run_model

from tfxfer.backbones.blocks import list_blocks, resolve_unfreeze
from tfxfer.errors import InputError
from tfxfer.modalities.pictures.networks.families import FAMILIES, NETWORKS, Family
from tfxfer.modalities.pictures.networks.preprocessing import PREPROCESSINGS


def test_the_table_holds_every_network_of_keras():
    built = {
        name
        for name, value in vars(keras.applications).items()
        if inspect.isfunction(value) and name[0].isupper()
    }
    assert built == set(NETWORKS)


def test_block_names_do_not_depend_on_what_was_built_before():
    first = list_blocks(outline_network("Xception", 71), NETWORKS["Xception"])
    second = list_blocks(outline_network("Xception", 71), NETWORKS["Xception"])
    assert [block.name for block in first] == [block.name for block in second]


def test_weights_outside_of_all_blocks_are_refused():
    family = Family("VGG", {"VGG16": 224}, r"block[1-4]_pool$", "caffe", "CC-BY-4.0")
    with pytest.raises(InputError, match="block5_conv1"):
        list_blocks(outline_network("VGG16", 32), family)


def test_unfreeze_is_a_number_all_or_a_name():
    blocks = list_blocks(outline_network("VGG16", 32), NETWORKS["VGG16"])
    assert resolve_unfreeze(2, blocks) == 2
    assert resolve_unfreeze("all", blocks) == 5
    assert resolve_unfreeze("block4", blocks) == 2
    with pytest.raises(InputError, match="0 to 5"):
        resolve_unfreeze(6, blocks)
    with pytest.raises(InputError, match="Did you mean 'block4'"):
        resolve_unfreeze("blok4", blocks)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_preprocessing_is_the_network_s_own(family):
    """The model's first layers equal `preprocess_input` of the family's Keras module."""
    module = {
        "VGG": "vgg16", "ResNet": "resnet", "ResNetV2": "resnet_v2", "InceptionV3": "inception_v3",
        "InceptionResNetV2": "inception_resnet_v2", "Xception": "xception",
        "MobileNet": "mobilenet", "MobileNetV2": "mobilenet_v2", "MobileNetV3": "mobilenet_v3",
        "DenseNet": "densenet", "NASNet": "nasnet", "EfficientNet": "efficientnet",
        "EfficientNetV2": "efficientnet_v2", "ConvNeXt": "convnext",
    }[family.name]  # fmt: skip
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 5, 4, 3)).astype(np.float32)
    expected = getattr(keras.applications, module).preprocess_input(pictures.copy())
    inputs = keras.Input((5, 4, 3))
    model = keras.Model(inputs, PREPROCESSINGS[family.preprocessing].apply(inputs))
    np.testing.assert_allclose(run_model(model, pictures), expected, atol=1e-4)
