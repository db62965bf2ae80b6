"""A backbone made of a TF-Hub module: one block, frozen or trained as a whole."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

import keras

from tfxfer.backbones.backbone import Backbone
from tfxfer.backbones.blocks import Block
from tfxfer.backbones.handles import find_module
from tfxfer.backbones.hub_layer import HubModule, make_hub_layer
from tfxfer.backbones.saved_model import load_saved_model
from tfxfer.config.backbone import HUB, BackboneConfig
from tfxfer.errors import InputError
from tfxfer.modalities.pictures.networks.preprocessing import PREPROCESSINGS
from tfxfer.modalities.pictures.settings import input_spec

# Every image module takes this: https://www.tensorflow.org/hub/common_signatures/images.
_PREPROCESSING = PREPROCESSINGS["unit"]


def build_hub_backbone(config: BackboneConfig) -> Backbone:
    """Find a module, check that it turns pictures into features, and wrap it.

    Raises:
        InputError: There is no such module, it is broken, takes no pictures of this size, or gives
            no features.
    """
    place = config.name.removeprefix(HUB)
    found = find_module(place, config.mirror)
    module = load_saved_model(found.folder, config.signature)
    size_px = choose_size(module.input_shape, module.input_dtype, config)
    layer = make_hub_layer(
        module,
        found.folder,
        (size_px, size_px, 3),
        config.output,
        config.arguments or {},
        name="module",
    )
    _check_features(layer, place)
    inputs = keras.Input((size_px, size_px, 3), name="pictures_0_1")
    words = re.sub(r"\W+", "_", PurePosixPath(place).name.split(".")[0]).strip("_")
    # Stored features are identified by the network's name, so it has to contain what decides them.
    how = [layer.interface[key] for key in ("signature", "output", "arguments")]
    key = hashlib.sha256(f"{found.sha256} {how}".encode()).hexdigest()[:12]
    network = keras.Model(inputs, layer(inputs), name=f"hub_{words}_{key}")
    block = Block(
        name="module",
        layers=(layer.name,),
        parameters=layer.count_params(),
        operations=frozenset({layer.name}),
        end=layer.name,
        why_whole=f"a TF-Hub module is one block, whose layers cannot be told apart ({place})",
        why_frozen=layer.why_frozen,
    )
    notes = [
        f"module {place}: {found.bytes / 1e6:.1f} MB, sha256 {found.sha256}"
        + f", fetched after {found.retries} failed attempts" * bool(found.retries),
        *([f"the module can only be used frozen: {layer.why_frozen}"] if layer.why_frozen else []),
    ]
    return Backbone(network, (block,), _PREPROCESSING, input_spec(size_px), tuple(notes))


def choose_size(
    input_shape: tuple[int | None, ...], input_dtype: str, config: BackboneConfig
) -> int:
    """Return the side of the pictures that a module takes.

    Raises:
        InputError: The module takes no pictures or another size, or it takes any size and the
            config names none.
    """
    if len(input_shape) != 3 or input_shape[2] not in (3, None) or input_dtype != "float32":
        raise InputError(
            "A backbone must take pictures: float32, [batch, height, width, 3], 0…1. Received: "
            f"{config.name!r}, which takes [batch, {', '.join(map(_side, input_shape))}] "
            f"{input_dtype}. Take a module of feature vectors of images; others can be used as "
            "layers, with tfxfer.load_hub_module."
        )
    height, width, given = *input_shape[:2], config.image_size_px
    if height != width:
        raise InputError(
            "A backbone must take square pictures. Received: "
            f"{config.name!r}, which takes {_side(height)} × {_side(width)}. Take another module."
        )
    if height is None and given is None:
        raise InputError(
            f"{config.name!r} takes pictures of any size. Received: no image_size_px. Name the "
            "size that it was trained at (its page says), with --set backbone.image_size_px=224"
        )
    if None not in (height, given) and height != given:
        raise InputError(
            f"image_size_px must be {height} for {config.name!r}, which takes no other. "
            f"Received: image_size_px={given}. Leave it out."
        )
    return int(height or given or 0)


def _check_features(layer: HubModule, place: str) -> None:
    shape, dtype = layer.interface["output_shape"], layer.interface["output_dtype"]
    is_float = dtype in ("float32", "float16", "bfloat16", "float64")
    if len(shape) not in (1, 3) or None in shape or not is_float:
        raise InputError(
            "A backbone must give features: a float vector [batch, channels] or map "
            f"[batch, height, width, channels] of known size. Received: {place!r}, which gives "
            f"[batch, {', '.join(map(_side, shape))}] {dtype}. Take a module of feature vectors, "
            "or another output (--set backbone.output=NAME)."
        )


def _side(side: int | None) -> str:
    return "any" if side is None else str(side)
