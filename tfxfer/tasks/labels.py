"""Labels: a class number a picture, or, where pictures have several, a row of zeros and ones."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def has_several(labels: np.ndarray) -> bool:
    """Whether labels are rows ``[pictures, classes]`` of 0 and 1, not numbers ``[pictures]``."""
    return labels.ndim == 2


def count_classes(labels: np.ndarray, class_count: int) -> np.ndarray:
    """Return how many pictures each class has, ``[classes]`` int64."""
    if has_several(labels):
        return labels.sum(axis=0, dtype=np.int64)
    return np.bincount(labels, minlength=class_count)


def stratify_by(labels: np.ndarray) -> np.ndarray:
    """Return one class number for each picture, ``[pictures]``: of several, the rarest one.

    A picture without any label counts as of a class of its own, numbered behind the others.
    """
    if not has_several(labels):
        return labels
    counts = np.where(labels > 0, labels.sum(axis=0, dtype=np.int64), np.iinfo(np.int64).max)
    return np.where(labels.any(axis=1), counts.argmin(axis=1), labels.shape[1])


def to_targets(labels: tf.Tensor, class_count: int) -> tf.Tensor:
    """What a model is to give: rows ``[…, classes]`` float32, of a label or of a batch of them.

    Args:
        labels: class numbers, int64, or rows: of zeros and ones, int8, or of a teacher's
            probabilities, float32.
    """
    are_rows = labels.dtype in (tf.int8, tf.float32)
    return tf.cast(labels, tf.float32) if are_rows else tf.one_hot(labels, class_count)
