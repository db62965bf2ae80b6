"""KerasHub's networks, taken apart into layers, so that a cut can go between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfxfer.backbones.hub_family import KerasHubFamily
from tfxfer.kinds import MODALITIES


@keras.saving.register_keras_serializable("tfxfer")
class FlatNetwork(keras.Model):
    """The layers of a KerasHub backbone, one after the other, up to its features.

    The network is saved as the backbone that it was made of, because its inner layers cannot be
    made from their own configs.

    Args:
        backbone: a KerasHub backbone of a family that a modality lists; its layers are shared.
        shape: of one item, as the network takes it.
    """

    def __init__(self, backbone: keras.Model, shape: Sequence[int | None]):
        family = _find_family(type(backbone).__name__)

        def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
            if family.take_apart is not None and type(layer).__name__ == family.container:
                return family.take_apart(layer, *arguments)
            return layer(*arguments, **keywords)

        flat = keras.models.clone_model(
            keras.Model(backbone.inputs, backbone.output),
            clone_function=lambda layer: layer,
            call_function=call,
            input_tensors=[keras.Input(tuple(shape), name="images")],
        )
        features = flat.output
        if family.readout == "token" and getattr(backbone, "use_class_token", True):
            features = features[:, 0]
        elif family.readout != "map":
            features = keras.ops.mean(features, axis=1)
        super().__init__(inputs=flat.inputs, outputs=features, name=backbone.name)
        self._original = {
            "backbone": keras.saving.serialize_keras_object(backbone),
            "shape": list(shape),
        }

    def get_config(self) -> dict[str, Any]:
        return dict(self._original)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> FlatNetwork:
        backbone = keras.saving.deserialize_keras_object(config["backbone"], custom_objects)
        # Models of pictures that were saved before other shapes were possible name their side.
        side = config.get("size_px")
        return cls(backbone, config.get("shape") or (side, side, 3))


def _find_family(name: str) -> KerasHubFamily:
    """Return how a class of KerasHub's networks is taken apart, whichever modality lists it."""
    listed = (row.hub_families() for row in MODALITIES.values())
    return next(families[name] for families in listed if name in families)
