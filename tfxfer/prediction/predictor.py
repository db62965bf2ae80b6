"""One interface to all models that predict: a run's, an exported one, or one on a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tfxfer.errors import InputError
from tfxfer.modality import InputSpec


class PredictionError(RuntimeError):
    """An error which says, in one line for people, why a batch could not be predicted."""


@dataclass(frozen=True)
class Prediction:
    """What a model says about a batch of items.

    Attributes:
        probabilities: ``[batch, classes]`` float32, 0…1.
        embeddings: ``[batch, channels]`` float32; None if they were not asked for.
    """

    probabilities: np.ndarray
    embeddings: np.ndarray | None = None


@dataclass(frozen=True)
class Predictor:
    """A model that is ready to predict.

    Attributes:
        name: What the model is and where it lies, in words for people.
        classes: The class names in the order of the probabilities.
        prepare: A function from an encoded item to an element of what `run` takes. For local
            models it decodes, turns and resizes as in training: ``[size, size, 3]`` float32,
            0…255. For servers it returns the bytes. Several threads may call it at a time. It
            raises `PredictionError` if the bytes are no usable item.
        run: A function that predicts a batch, and raises `PredictionError` if it cannot.
        input: What the model takes of one item; None for a server, which decodes items itself.
    """

    name: str
    classes: tuple[str, ...]
    prepare: Callable[[bytes], Any]
    run: Callable[[Sequence[Any]], Prediction]
    input: InputSpec | None = None


def refuse_missing(path: Path, package: str, wanted: str) -> None:
    """Refuse a file whose package is not installed.

    Args:
        path: The file.
        package: The name of the package as it is imported.
        wanted: What pip has to install.

    Raises:
        InputError: The package is missing.
    """
    if find_spec(package) is None:
        raise InputError(
            f"An {path.suffix} file needs the package {package}. Received: an environment without "
            f"it. Install it: pip install {wanted}"
        )


def refuse_embeddings(path: Path, with_embeddings: bool) -> None:
    """Refuse to give embeddings for a file whose model has none.

    Raises:
        InputError: Embeddings are asked for.
    """
    if with_embeddings:
        raise InputError(
            "Embeddings come from a run's folder, a SavedModel or a server. Received: "
            f"{str(path)!r}, a file that gives probabilities alone. Name one of those."
        )
