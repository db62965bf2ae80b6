"""A network of six small blocks, which tests add to the families by its row.

A run of it takes a third of the time of the smallest network of Keras Applications, because most
of a small run is spent on building and tracing layers. Processes that tests start know it too
(`started/sitecustomize.py`). This module imports no Keras, because such a process may need none.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

NAME = "TinyNet"
BLOCKS = 6
WIDTH = 8
CHANNELS = WIDTH * BLOCKS


def build_tiny_net(
    include_top: bool, weights: str | None, input_shape: tuple[int, ...], width: int = WIDTH
) -> Any:
    """Build the network as `keras.applications` would: separable convolutions and their norms.

    Args:
        width: The channels of the first block; the others have that many more each.
    """
    import keras

    inputs = tensor = keras.Input(input_shape)
    for number in range(1, BLOCKS + 1):
        name, strides = f"stage{number}", 2 if number in (1, 2, 5) else 1
        alike = {"padding": "same", "use_bias": False}
        if number == 1:
            tensor = keras.layers.Conv2D(width, 3, strides, name=f"{name}_conv", **alike)(tensor)
        else:
            depthwise = keras.layers.DepthwiseConv2D(3, strides, name=f"{name}_depthwise", **alike)
            pointwise = keras.layers.Conv2D(width * number, 1, name=f"{name}_conv", **alike)
            tensor = pointwise(depthwise(tensor))
        tensor = keras.layers.BatchNormalization(name=f"{name}_norm")(tensor)
        tensor = keras.layers.ReLU(6.0, name=f"{name}_out")(tensor)
    return keras.Model(inputs, tensor, name="tiny_net")


def add_row(families: ModuleType) -> None:
    """Add the network's row to the module of the families, which is all that it takes."""
    row = families.Family("TinyNet", {NAME: 224}, r"(?P<name>stage\d)_out$", "tf", "MIT")
    families.NETWORKS[NAME] = row
    families.COUNTS[NAME] = (6_448, BLOCKS)


def add_builder(applications: ModuleType) -> None:
    """Add the network to `keras.applications`."""
    applications.TinyNet = build_tiny_net
