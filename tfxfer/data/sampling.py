"""The balanced drawing of training items, in which all classes are equally likely."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxfer.data.items import ItemSet


def draw_evenly(
    labels: np.ndarray, count: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw equally many items of each class, in random order.

    A class's items are only repeated after all of them were drawn. From a class that is larger
    than its share, a random part is drawn.

    Args:
        labels: ``[items]`` class numbers.
        count: The number of items to draw; the remainder of its division by the number of
            classes goes to random classes.
        generator: The generator of all random numbers.

    Returns:
        The positions of the items, and how often each was drawn before, both ``[count]`` int64.
    """
    classes = generator.permutation(np.unique(labels))
    positions, rounds = [], []
    for rank, label in enumerate(classes):
        own = np.flatnonzero(labels == label)
        share = count // len(classes) + (rank < count % len(classes))
        drawn = [generator.permutation(own) for _ in range(-(-share // len(own)))]
        positions.append(np.concatenate([own[:0], *drawn])[:share])
        rounds.append(np.arange(share) // len(own))
    order = generator.permutation(count)
    return np.concatenate(positions)[order], np.concatenate(rounds)[order]


def encode_evenly(items: ItemSet, seed: int) -> tf.data.Dataset:
    """Give as many encoded items as there are, each of a class drawn by chance, with its label.

    A class's items are repeated after all of them were given. A source that is read from start
    to end, such as TFDS, is read once for each class.

    Args:
        items: The items, with one label each.
        seed: The seed that decides the draws, which differ in every epoch.
    """
    strata = items.labels.strata()
    classes = [
        items.choose(np.flatnonzero(strata == label)).encoded(shuffle_seed=seed)
        for label in np.unique(strata)
    ]
    drawn = tf.data.Dataset.sample_from_datasets(
        [each.repeat() for each in classes], seed=seed, rerandomize_each_iteration=True
    )
    return drawn.take(len(items.labels))
