"""A model's network as an export holds it: one TensorFlow function, traced once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxfer.backbones.hub_layer import HubModule
from tfxfer.backbones.whole import add_embeddings
from tfxfer.export.jax_program import trace_jax
from tfxfer.machine.compiled import is_on

# A function from items to probabilities and embeddings.
Answer = Callable[[tf.Tensor], list[tf.Tensor]]


@dataclass(frozen=True)
class ServedNetwork:
    """A model's network as an export holds it.

    Attributes:
        answer: A function from items ``[batch, …]`` float32 to probabilities ``[batch, classes]``
            and embeddings ``[batch, channels]``, float32; an empty batch gives empty ones.
        module: The holder of its weights, which a SavedModel keeps.
    """

    answer: Answer
    module: tf.Module

    def call(self, batch: np.ndarray) -> list[np.ndarray]:
        """Return the probabilities and embeddings of a batch, as a server would give them."""
        return [output.numpy() for output in self.answer(tf.constant(batch))]


def serve_network(model: keras.Model) -> ServedNetwork:
    """Trace a model from items to probabilities, with the weights that it has now."""
    module = tf.Module()
    answer = trace_jax(model, module) if is_on("jax") else _trace(model, module)
    spec = tf.TensorSpec(model.input_shape, tf.float32)
    whole = tf.function(_answer_empty(answer), input_signature=[spec], autograph=False)
    return ServedNetwork(whole, module)


def _trace(model: keras.Model, module: tf.Module) -> Answer:
    """Return the network as a TensorFlow function, and let the module hold its weights.

    `keras.export.ExportArchive` is not used, because it traces every function and layer once more.
    Vectors become constants of the graph. They are four of five weights and a hundredth of their
    size, and each variable costs time in every signature that is written or loaded.
    """
    both = add_embeddings(model)
    vectors = [(each, each.numpy()) for each in model.weights if len(each.shape) < 2]
    module.weights = [each.value for each in model.weights if len(each.shape) > 1]
    hub_modules = [layer for layer in model._flatten_layers() if isinstance(layer, HubModule)]
    module.resources = [layer.loaded for layer in hub_modules]  # These hold lookup tables, say.

    def answer(items: tf.Tensor) -> Any:
        # A constant that is made outside of the function would be an input of it.
        with keras.StatelessScope([(each, tf.constant(value)) for each, value in vectors]):
            return both(items, training=False)

    return answer


def _answer_empty(answer: Answer) -> Answer:
    """Return the function that gives empty outputs for an empty batch.

    On some processors, TensorFlow's convolution (oneDNN) gives an empty batch a wrong shape.
    """

    def run(items: tf.Tensor) -> list[tf.Tensor]:
        count = tf.shape(items)[0]
        added = [[0, tf.cast(count == 0, tf.int32)], *[[0, 0]] * (items.shape.rank - 1)]
        return [output[:count] for output in answer(tf.pad(items, added))]

    return run
