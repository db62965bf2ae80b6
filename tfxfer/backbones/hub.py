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
from tfxfer.modality import Modality


def build_hub_backbone(config: BackboneConfig, modality: Modality) -> Backbone:
    """Find a module, check that it makes features of items, and wrap it.

    Raises:
        InputError: There is no such module, it is broken, takes no items of this size, or gives
            no features.
    """
    place = config.name.removeprefix(HUB)
    found = find_module(place, config.mirror)
    module = load_saved_model(found.folder, config.signature)
    spec, preprocessing = modality.fit_module(module.input_shape, module.input_dtype, config)
    layer = make_hub_layer(
        module,
        found.folder,
        spec.shape,
        output=config.output,
        arguments=config.arguments or {},
        name="module",
    )
    _check_features(layer, place)
    inputs = keras.Input(spec.shape, name=f"{spec.name}_0_1")
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
    return Backbone(network, (block,), preprocessing, spec, tuple(notes))


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
