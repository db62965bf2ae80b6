"""What a network expects of its pictures."""

from __future__ import annotations

from dataclasses import dataclass

import keras

# Mean and standard deviation of ImageNet's training pictures, RGB: the constants that
# `keras.applications.*.preprocess_input` subtracts and divides by.
TORCH_MEAN = (0.485, 0.456, 0.406)


TORCH_STD = (0.229, 0.224, 0.225)


CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects of its input: ``pictures * scale + offset``.

    Attributes:
        about: the same in words.
        scale, offset: for pictures 0…255, one number for all channels or one for each.
        is_bgr: whether the channels are reversed first.
    """

    about: str
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    is_bgr: bool = False


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


def apply_preprocessing(
    pictures: keras.KerasTensor, preprocessing: Preprocessing
) -> keras.KerasTensor:
    """Apply a network's own preprocessing inside the model.

    Standing in the model and not in the input pipeline, it cannot differ between training and
    serving.

    Args:
        pictures: ``[batch, height, width, 3]`` float32, RGB, 0…255.
    """
    scale, offset = list(preprocessing.scale), list(preprocessing.offset)
    if preprocessing.is_bgr:
        pictures = keras.ops.flip(pictures, axis=-1)
    if scale == [1.0] and offset == [0.0]:
        return pictures
    rescaling = keras.layers.Rescaling(
        scale[0] if len(scale) == 1 else scale,
        offset=offset[0] if len(offset) == 1 else offset,
        name="preprocessing",
    )
    return rescaling(pictures)
