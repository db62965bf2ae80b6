"""The pictures that modules of TF-Hub and presets of KerasHub take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfxfer.config.backbone import BackboneConfig
from tfxfer.errors import InputError
from tfxfer.modalities.pictures.networks.preprocessing import PREPROCESSINGS, Preprocessing
from tfxfer.modalities.pictures.settings import input_spec
from tfxfer.modality import InputSpec

_DEFAULT_SIZE_PX = 224


def fit_module(
    shape: tuple[int | None, ...], dtype: str, config: BackboneConfig
) -> tuple[InputSpec, Preprocessing]:
    """Return the pictures that a module of TF-Hub takes.

    Every module of images takes them in 0…1: see
    https://www.tensorflow.org/hub/common_signatures/images.

    Raises:
        InputError: The module takes no pictures or another size, or any size and none is named.
    """
    return input_spec(choose_size(shape, dtype, config)), PREPROCESSINGS["unit"]


def fit_preset(
    network: Any, preset: str, config: BackboneConfig
) -> tuple[InputSpec, Preprocessing, tuple[str, ...]]:
    """Return the pictures that a preset of KerasHub takes, and what the user should know about it.

    Raises:
        InputError: It takes no square pictures, or others than those asked for.
    """
    converter, notes = _load_converter(preset)
    spec = input_spec(_choose_size(network, converter, config))
    return spec, _describe_converter(converter), notes


def choose_size(
    input_shape: tuple[int | None, ...], input_dtype: str, config: BackboneConfig
) -> int:
    """Return the side of the pictures that a module takes.

    Raises:
        InputError: The module takes no pictures or another size, or any size and none is named.
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


def _load_converter(preset: str) -> tuple[Any, tuple[str, ...]]:
    import keras_hub

    try:
        return keras_hub.layers.ImageConverter.from_preset(preset), ()
    except Exception:  # a preset of a backbone alone; one that cannot be read failed before
        return None, (
            f"the preset {preset} does not say what pictures it expects; it is given 0…1",
        )


def _describe_converter(converter: Any) -> Preprocessing:
    if converter is None:
        return PREPROCESSINGS["unit"]
    return Preprocessing(
        "as the preset says",
        _numbers(converter.scale, 1.0),
        _numbers(converter.offset, 0.0),
    )


def _numbers(value: Any, default: float) -> tuple[float, ...]:
    if value is None:
        return (default,)
    return tuple(map(float, value)) if isinstance(value, Sequence) else (float(value),)


def _choose_size(backbone: Any, converter: Any, config: BackboneConfig) -> int:
    height, width, *_ = backbone.inputs[0].shape[1:]
    if height != width:
        raise InputError(
            f"A backbone must take square pictures. Received: {config.name!r}, which takes "
            f"{height} × {width}. Take another preset."
        )
    if height is not None and config.image_size_px not in (None, height):
        raise InputError(
            f"image_size_px must be {height} for {config.name!r}, whose patches have places of "
            f"their own. Received: image_size_px={config.image_size_px}. Leave it out, or take a "
            "preset of another size."
        )
    suggested = converter.image_size[0] if converter is not None and converter.image_size else None
    return int(height or config.image_size_px or suggested or _DEFAULT_SIZE_PX)


def _side(side: int | None) -> str:
    return "any" if side is None else str(side)
