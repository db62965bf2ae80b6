"""The preprocessing of pictures that networks expect. Imports no Keras before it is applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# `keras.applications.*.preprocess_input` subtracts and divides by these means and standard
# deviations of ImageNet's training pictures, RGB.
TORCH_MEAN = (0.485, 0.456, 0.406)
TORCH_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


@dataclass(frozen=True)
class Preprocessing:
    """The input that a network expects: ``pictures * scale + offset``.

    Attributes:
        about: A description for people.
        scale, offset: One number for all channels or one for each, for pictures 0…255.
        is_bgr: Whether the channels are reversed first.
    """

    about: str
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    is_bgr: bool = False

    def apply(self, inputs: Any) -> Any:
        """Apply it inside the model.

        Standing in the model and not in the input pipeline, it cannot differ between training and
        serving.

        Args:
            inputs: Symbolic pictures ``[batch, height, width, 3]`` float32, RGB, 0…255.
        """
        import keras

        scale, offset = list(self.scale), list(self.offset)
        if self.is_bgr:
            inputs = keras.ops.flip(inputs, axis=-1)
        if scale == [1.0] and offset == [0.0]:
            return inputs
        rescaling = keras.layers.Rescaling(
            scale[0] if len(scale) == 1 else scale,
            offset=offset[0] if len(offset) == 1 else offset,
            name="preprocessing",
        )
        return rescaling(inputs)


PREPROCESSINGS = {
    "inside": Preprocessing("inside the network"),
    "unit": Preprocessing("scaled to 0…1", (1 / 255,)),
    "tf": Preprocessing("scaled to -1…1", (1 / 127.5,), (-1.0,)),
    "torch": Preprocessing(
        "ImageNet mean and deviation",
        tuple(1 / (255 * deviation) for deviation in TORCH_STD),
        tuple(-mean / std for mean, std in zip(TORCH_MEAN, TORCH_STD, strict=True)),
    ),
    "caffe": Preprocessing(
        "BGR minus ImageNet mean", offset=tuple(-mean for mean in CAFFE_MEAN_BGR), is_bgr=True
    ),
}
