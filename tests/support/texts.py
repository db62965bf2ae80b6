"""Texts of different lengths for a small encoder: what it takes to train on them in a test."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfxfer.data.items import FileSet, ItemData
from tfxfer.kinds import TASKS
from tfxfer.modalities.pictures.modality import Pictures
from tfxfer.modality import InputSpec


@lru_cache
def _view() -> Callable[[tf.Tensor], tf.Tensor]:
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def view(encoded: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.io.decode_raw(encoded, tf.uint8), tf.int32)

    return view


class Texts(Pictures):
    """Each byte of a text is a token; a changed view leaves out its first ones."""

    def plain_view(self, spec: InputSpec):
        return _view()

    def augmented_view(self, spec: InputSpec, augmentation):
        plain = _view()

        def view(encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            count = tf.cast(tf.math.floormod(seed[0], 3), tf.int32)
            return plain(encoded)[count:]

        return view


def write_texts(folder: Path, counts: tuple[int, int]) -> ItemData:
    """Write texts of two classes, 4 to 40 tokens long, and give training and validation splits."""
    generator, sets = np.random.default_rng(0), []
    for split, count in zip(("train", "validation"), counts, strict=True):
        paths = []
        for number in range(count):
            path = folder / split / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            tokens = generator.integers(1, 256, generator.integers(4, 41), dtype=np.uint8)
            path.write_bytes(tokens.tobytes())
            paths.append(str(path))
        sets.append(FileSet(tuple(paths), TASKS["classes"].read(np.arange(count) % 2)))
    return ItemData("texts", ("odd", "even"), TASKS["classes"], *sets, sets[-1], Texts())
