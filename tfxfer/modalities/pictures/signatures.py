"""The signatures of an exported model of pictures, which takes pixels or encoded files."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import tensorflow as tf

from tfxfer.modalities.pictures.settings import side_px
from tfxfer.modalities.pictures.view import plain_view
from tfxfer.modality import InputSpec, Signature


@lru_cache(maxsize=32)
def decode_batch(size_px: int) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return a function that decodes a batch of encoded pictures, traced once.

    A server joins the requests of strangers to batches, so that a broken picture must not be an
    error of the others: there are zeros in its place. A picture that is alone is an error, which
    says what is wrong with it; to decode it takes half of the time.

    Returns:
        A function from ``[batch]`` strings to ``[batch, size, size, 3]`` float32 and ``[batch]``
        bool, which says what could be decoded.
    """
    view, shape = plain_view(size_px), (size_px, size_px, 3)

    def decode_each(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        whole = tf.TensorSpec(shape, tf.float32)
        return tf.map_fn(view, encoded, fn_output_signature=whole), tf.fill(tf.shape(encoded), True)

    def decode_others(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.size(encoded, out_type=tf.int64)
        numbered = tf.data.Dataset.from_tensor_slices(encoded).enumerate()
        decoded = numbered.map(
            lambda number, each: (number, view(each)), num_parallel_calls=tf.data.AUTOTUNE
        ).ignore_errors()
        # With one more row, there is a batch even if nothing can be decoded.
        last = tf.data.Dataset.from_tensors((count, tf.zeros(shape)))
        numbers, views = decoded.concatenate(last).batch(count + 1).get_single_element()
        rows = numbers[:, tf.newaxis]
        sizes = tf.concat([[count + 1], tf.constant(shape, tf.int64)], axis=0)
        is_there = tf.scatter_nd(rows, tf.ones_like(numbers), [count + 1]) > 0
        return tf.scatter_nd(rows, views, sizes)[:-1], is_there[:-1]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def decode(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        items, is_there = tf.cond(
            tf.size(encoded) > 1, lambda: decode_others(encoded), lambda: decode_each(encoded)
        )
        return tf.ensure_shape(items, (None, *shape)), tf.ensure_shape(is_there, [None])

    return decode


def signatures(spec: InputSpec) -> tuple[Signature, ...]:
    """Return the signatures for a network that takes ``[size, size, 3]`` float32, RGB, 0…255.

    Pixels are taken as float32 or as uint8; files are JPEG, PNG, BMP or WebP of any size.
    """
    size_px = side_px(spec)

    def as_floats(pictures: tf.Tensor) -> tf.Tensor:
        return tf.cast(pictures, tf.float32)

    floats = tf.TensorSpec([None, size_px, size_px, 3], tf.float32, spec.name)
    whole = tf.TensorSpec([None, size_px, size_px, 3], tf.uint8, spec.name)
    encoded = tf.TensorSpec([None], tf.string, "image_bytes")
    decode = decode_batch(size_px)
    return (
        Signature("serving_default", floats, as_floats),
        Signature("serve_uint8", whole, as_floats),
        Signature("serve_bytes", encoded, decode, is_encoded=True),
        Signature("features", floats, as_floats, gives_embeddings=True),
        Signature("features_bytes", encoded, decode, gives_embeddings=True, is_encoded=True),
    )
