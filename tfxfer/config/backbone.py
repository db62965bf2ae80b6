"""The settings of the pretrained network and its weights.

This module imports no TensorFlow.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from tfxfer.config.table import Table, absolute
from tfxfer.errors import InputError, nearest
from tfxfer.kinds import MODALITIES
from tfxfer.modality import Network

# Names with these prefixes are no Keras Applications networks.
HUB, KERAS_HUB = "hub:", "keras_hub:"
# The sources of weights other than a file; "own" weights come with a hub module or a preset.
WEIGHTS = ("imagenet", "embedded", "none", "own")

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_KAGGLE_HANDLE = re.compile(
    r"[\w-]+/[\w.-]+/(tensorflow1|tensorflow2|tfhub)/[\w.-]+(/\d+)?", re.IGNORECASE
)
_KERAS_HUB_PRESET = re.compile(r"[\w.-]+")


class BackboneConfig(Table):
    """The settings of the pretrained network.

    Example:
        >>> import tfxfer
        >>> config = tfxfer.BackboneConfig(name="MobileNetV2", weights="none", alpha=0.35)
        >>> config.name, config.alpha, config.image_size_px
        ('MobileNetV2', 0.35, None)
    """

    # A Keras Applications network, "hub:HANDLE_OR_PATH" or "keras_hub:PRESET_OR_FOLDER".
    name: str = "EfficientNetV2B0"
    weights: str = "imagenet"  # one of WEIGHTS, or a file
    alpha: float | None = Field(None, gt=0)  # the width multiplier of the MobileNet families
    image_size_px: int | None = Field(None, ge=32)  # None takes the network's own size.
    # The following keys are for hub modules.
    mirror: str | None = None  # an address that is asked instead of tfhub.dev and Kaggle
    signature: str | None = None  # a signature that is called instead of the module itself
    output: str | None = None  # the output that is taken if there are several by name
    arguments: dict[str, bool | int | float] | None = None  # the hyper-parameters of its call

    @model_validator(mode="before")
    @classmethod
    def _modules_bring_their_weights(cls, values: Any) -> Any:
        if isinstance(values, dict) and str(values.get("name")).startswith((HUB, KERAS_HUB)):
            return {"weights": "own", **values}
        return values

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        for prefix, is_handle in ((HUB, is_hub_handle), (KERAS_HUB, is_keras_hub_preset)):
            if name.startswith(prefix):
                place = name.removeprefix(prefix)
                if not place.strip():
                    raise InputError(f"{prefix} takes a handle or a path. Received: {name!r}.")
                return name if is_handle(place) else prefix + absolute(place)
        find_network(name)
        return name

    @field_validator("weights")
    @classmethod
    def _is_absolute(cls, weights: str) -> str:
        if weights in WEIGHTS:
            return weights
        if not weights.endswith(".h5"):
            raise InputError(
                f"weights must be {', '.join(WEIGHTS)} or a file that ends in .weights.h5 or .h5. "
                f"Received: weights={weights!r}.{nearest(weights, WEIGHTS)}"
            )
        return absolute(weights)

    @field_validator("mirror")
    @classmethod
    def _is_an_address(cls, mirror: str | None) -> str | None:
        if mirror is not None and not mirror.startswith(("http://", "https://")):
            raise InputError(
                "mirror must be an address that starts with http:// or https://. Received: "
                f"mirror={mirror!r}."
            )
        return mirror

    @model_validator(mode="after")
    def _weights_fit(self) -> BackboneConfig:
        if self.name.startswith(HUB) and self.weights != "own":
            raise InputError(
                "A hub module brings its weights, and cannot be built without them. Received: "
                f"weights={self.weights!r}. Leave weights out; to see what transfer is worth, "
                "train a Keras Applications network with --weights none."
            )
        if self.name.startswith(KERAS_HUB):
            if self.weights in ("imagenet", "embedded"):
                raise InputError(
                    "A KerasHub preset brings its weights. Received: "
                    f"weights={self.weights!r}. Take own (the preset's), none or a file."
                )
        elif not self.name.startswith(HUB) and self.weights == "own":
            raise InputError(
                "weights='own' belong to a hub module or a KerasHub preset. Received: "
                f"name={self.name!r}. Take imagenet, none or a file."
            )
        embedded = [row.embedded for row in MODALITIES.values()]
        if self.weights == "embedded" and (self.name, self.alpha) not in embedded:
            allowed = " or ".join(f"{name} with alpha={alpha}" for name, alpha in embedded)
            raise InputError(
                f"weights='embedded' belong to {allowed}. "
                f"Received: name={self.name!r}, alpha={self.alpha}. "
                "Use --weights imagenet, none or a file with this backbone."
            )
        return self

    @model_validator(mode="after")
    def _keys_fit(self) -> BackboneConfig:
        is_application = not self.name.startswith((HUB, KERAS_HUB))
        if self.alpha is not None and not (is_application and find_network(self.name).alphas):
            raise InputError(
                "alpha (the width multiplier) is for the MobileNet families only. Received: "
                f"name={self.name!r}, alpha={self.alpha}. Leave alpha out."
            )
        of_modules = ("mirror", "signature", "output", "arguments")
        given = [key for key in of_modules if getattr(self, key) is not None]
        if given and not self.name.startswith(HUB):
            raise InputError(
                f"{', '.join(of_modules)} are for hub modules ({HUB}…) only. Received: "
                f"name={self.name!r} with {', '.join(given)}. Leave them out."
            )
        return self


def find_network(name: str) -> Network:
    """Return a network by its name.

    Raises:
        InputError: There is none of this name; the nearest one is named.
    """
    networks = {key: each for row in MODALITIES.values() for key, each in row.networks.items()}
    if name not in networks:
        raise InputError(
            "backbone must be a Keras Applications network, hub:HANDLE_OR_PATH or "
            f"keras_hub:PRESET. Received: backbone={name!r}.{nearest(name, networks)} "
            "`tfxfer backbones` lists the networks."
        )
    return networks[name]


def is_hub_handle(place: str) -> bool:
    """Return whether a text is the address or Kaggle handle of a hub module, and not a path."""
    is_kaggle = bool(_KAGGLE_HANDLE.fullmatch(place)) and not Path(place).exists()
    return bool(_ADDRESS.match(place)) or is_kaggle


def is_keras_hub_preset(place: str) -> bool:
    """Return whether a text is the name or address of a KerasHub preset, and not a folder."""
    is_name = bool(_KERAS_HUB_PRESET.fullmatch(place)) and not Path(place).exists()
    return bool(_ADDRESS.match(place)) or is_name
