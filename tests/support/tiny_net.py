"""A network of six small blocks, which tests add to the families by its row.

A run of it takes a third of the time of the smallest network of Keras Applications, because most
of a small run is spent on building and tracing layers. A process that tests start knows it only if
it calls `add_tiny_net`.
"""

from __future__ import annotations

from pathlib import Path

import keras

from tfxfer.modalities.pictures.networks import families
from tfxfer.modalities.pictures.networks.families import Family

NAME = "TinyNet"
BLOCKS = 6
CHANNELS = 8 * BLOCKS
# A program that a test starts runs this after `import_tensorflow`.
ADD_TINY_NET = f"""
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from support.tiny_net import add_tiny_net
add_tiny_net()
"""


def build_tiny_net(include_top, weights, input_shape) -> keras.Model:
    """Build the network as `keras.applications` would: separable convolutions and their norms."""
    inputs = tensor = keras.Input(input_shape)
    for number in range(1, BLOCKS + 1):
        name, strides = f"stage{number}", 2 if number in (1, 2, 5) else 1
        alike = {"padding": "same", "use_bias": False}
        if number == 1:
            tensor = keras.layers.Conv2D(8, 3, strides, name=f"{name}_conv", **alike)(tensor)
        else:
            depthwise = keras.layers.DepthwiseConv2D(3, strides, name=f"{name}_depthwise", **alike)
            pointwise = keras.layers.Conv2D(8 * number, 1, name=f"{name}_conv", **alike)
            tensor = pointwise(depthwise(tensor))
        tensor = keras.layers.BatchNormalization(name=f"{name}_norm")(tensor)
        tensor = keras.layers.ReLU(6.0, name=f"{name}_out")(tensor)
    return keras.Model(inputs, tensor, name="tiny_net")


def add_tiny_net() -> None:
    """Add the network's row, which is all that it takes."""
    row = Family("TinyNet", {NAME: 224}, r"(?P<name>stage\d)_out$", "tf", "MIT")
    keras.applications.TinyNet = build_tiny_net
    families.NETWORKS[NAME] = row
    families.COUNTS[NAME] = (6_448, BLOCKS)
