"""What predicts: a run's model, an exported one in any format, or a server, all behind one face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tfxfer.errors import InputError


class PredictionError(RuntimeError):
    """A batch could not be predicted; the message says why, in a line for people."""


@dataclass(frozen=True)
class Prediction:
    """What is said of a batch of pictures.

    Attributes:
        probabilities: ``[batch, classes]`` float32.
        embeddings: ``[batch, channels]`` float32; None where they were not asked for.
    """

    probabilities: np.ndarray
    embeddings: np.ndarray | None = None


@dataclass(frozen=True)
class Predictor:
    """A model made ready to predict.

    Attributes:
        name: what it is and where it stands, for people.
        classes: class names in the order of the probabilities.
        prepare: from an encoded picture to what `run` takes. Local models decode, turn and resize
            here, as training does: ``[size, size, 3]`` float32, 0…255. Servers take the bytes.
            May be called from several threads at a time. Raises `PredictionError` for what is no
            picture.
        run: predicts a batch. Raises `PredictionError` where it cannot.
        size_px: side of the pictures; None: a server, which resizes them itself.
    """

    name: str
    classes: tuple[str, ...]
    prepare: Callable[[bytes], Any]
    run: Callable[[Sequence[Any]], Prediction]
    size_px: int | None = None


def refuse_missing(path: Path, package: str, wanted: str) -> None:
    """Refuse a file whose package is not there.

    Args:
        wanted: what to install, for pip.

    Raises:
        InputError: it is missing.
    """
    if find_spec(package) is None:
        raise InputError(
            f"An {path.suffix} file needs the package {package}. Received: an environment without "
            f"it. Install it: pip install {wanted}"
        )


def refuse_embeddings(path: Path, with_embeddings: bool) -> None:
    """Refuse to give embeddings of a file that holds none.

    Raises:
        InputError: they are asked for.
    """
    if with_embeddings:
        raise InputError(
            "Embeddings come from a run's folder, a SavedModel or a server. Received: "
            f"{str(path)!r}, a file that gives probabilities alone. Name one of those."
        )
