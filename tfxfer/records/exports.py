"""What was written of a model, and how it compares. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class Exported:
    """An exported model and the largest difference of its probabilities from the trained one's."""

    path: Path
    pictures_compared: int
    max_difference: float


@dataclass(frozen=True)
class ExportedFormat:
    """A model in one format, compared with the trained one on validation pictures.

    Attributes:
        format: its name, such as ``"litert_int8"``.
        path: the file or folder; None where it was refused.
        refused: why it was not kept; empty where it was.
        size_bytes: of all that belongs to it.
        pictures: those that it was compared on.
        accuracy: share of them that are right, 0…1; `trained_accuracy` is the trained model's.
        agreement: share of them that get the same label as from the trained model.
        max_difference: largest difference of a probability from the trained model's.
        latency_ms: median time of one picture, decoded already, and of `BATCH` together.
    """

    format: str
    path: Path | None
    refused: str
    size_bytes: int = 0
    pictures: int = 0
    accuracy: float = 0.0
    trained_accuracy: float = 0.0
    agreement: float = 0.0
    max_difference: float = 0.0
    latency_ms: tuple[float, float] = (0.0, 0.0)

    BATCH: ClassVar[int] = 32


@dataclass(frozen=True)
class RunFigures:
    """What a run's model costs and is worth, beside another's.

    Attributes:
        name: such as ``"teacher"``.
        parameters: of the model, its head included.
        size_bytes: of its SavedModel.
        latency_ms: as of `ExportedFormat`.
        validation_accuracy, test_accuracy: of the run, 0…1.
    """

    name: str
    network: str
    parameters: int
    size_bytes: int
    latency_ms: tuple[float, float]
    validation_accuracy: float
    test_accuracy: float
