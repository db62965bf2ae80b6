"""KerasHub's networks, taken apart into layers, so that a cut can go between them."""

from __future__ import annotations

from typing import Any

import keras

from tfxfer.modalities.pictures.networks.hub_families import FAMILIES


@keras.saving.register_keras_serializable("tfxfer")
class FlatNetwork(keras.Model):
    """The layers of a KerasHub backbone, one after the other, up to its features.

    The network is saved as the backbone that it was made of, because its inner layers cannot be
    made from their own configs.

    Args:
        backbone: A KerasHub backbone of a family in `FAMILIES`; its layers are shared.
        size_px: The side of the input pictures.
    """

    def __init__(self, backbone: keras.Model, size_px: int):
        family = FAMILIES[type(backbone).__name__]

        def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
            if family.take_apart is not None and type(layer).__name__ == family.container:
                return family.take_apart(layer, *arguments)
            return layer(*arguments, **keywords)

        flat = keras.models.clone_model(
            keras.Model(backbone.inputs, backbone.output),
            clone_function=lambda layer: layer,
            call_function=call,
            input_tensors=[keras.Input((size_px, size_px, 3), name="images")],
        )
        features = flat.output
        if family.readout == "token" and getattr(backbone, "use_class_token", True):
            features = features[:, 0]
        elif family.readout != "map":
            features = keras.ops.mean(features, axis=1)
        super().__init__(inputs=flat.inputs, outputs=features, name=backbone.name)
        self._original = {
            "backbone": keras.saving.serialize_keras_object(backbone),
            "size_px": size_px,
        }

    def get_config(self) -> dict[str, Any]:
        return dict(self._original)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> FlatNetwork:
        backbone = keras.saving.deserialize_keras_object(config["backbone"], custom_objects)
        return cls(backbone, config["size_px"])
