"""The signatures of an exported model of pictures, which takes pixels or encoded files."""

from __future__ import annotations

import tensorflow as tf

from tfxfer.modalities.pictures.settings import side_px
from tfxfer.modalities.pictures.view import plain_view
from tfxfer.modality import InputSpec, Signature


def signatures(spec: InputSpec) -> tuple[Signature, ...]:
    """Return the signatures for a network that takes ``[size, size, 3]`` float32, RGB, 0…255.

    Pixels are taken as float32 or as uint8; files are JPEG, PNG, BMP or WebP of any size.
    """
    size_px = side_px(spec)
    view = plain_view(size_px)

    def as_floats(pictures: tf.Tensor) -> tf.Tensor:
        return tf.cast(pictures, tf.float32)

    def decode(image_bytes: tf.Tensor) -> tf.Tensor:
        whole = tf.TensorSpec([size_px, size_px, 3], tf.float32)
        return tf.map_fn(view, image_bytes, fn_output_signature=whole)

    floats = tf.TensorSpec([None, size_px, size_px, 3], tf.float32, spec.name)
    whole = tf.TensorSpec([None, size_px, size_px, 3], tf.uint8, spec.name)
    encoded = tf.TensorSpec([None], tf.string, "image_bytes")
    return (
        Signature("serving_default", floats, as_floats),
        Signature("serve_uint8", whole, as_floats),
        Signature("serve_bytes", encoded, decode, is_encoded=True),
        Signature("features", floats, as_floats, gives_embeddings=True),
        Signature("features_bytes", encoded, decode, gives_embeddings=True, is_encoded=True),
    )
