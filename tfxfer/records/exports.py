"""What an export wrote, and how it compares with the model. This module imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class Exported:
    """An exported model, and how far its probabilities are from the trained model's at most."""

    path: Path
    pictures_compared: int
    max_difference: float


@dataclass(frozen=True)
class ExportedFormat:
    """A model in one format, compared with the trained one on validation items.

    Attributes:
        format: The name of the format, such as ``"litert_int8"``.
        path: The file or folder; None if the export was refused.
        refused: Why the export was refused; empty if it was kept.
        size_bytes: The size of all files that belong to it.
        pictures: The number of items on which it was compared.
        accuracy: The share of these items that it gets right, 0…1.
        trained_accuracy: The share of these items that the trained model gets right, 0…1.
        agreement: The share of these items to which both models give the same label.
        max_difference: The largest difference between the probabilities of both models.
        latency_ms: The median time for one decoded item, and for `BATCH` of them together.
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
    """What a run's model costs and how good it is, for a comparison with another run's.

    Attributes:
        name: The run's part in the comparison, such as ``"teacher"``.
        network: The name of its network.
        parameters: The number of the model's parameters, its head included.
        size_bytes: The size of its SavedModel.
        latency_ms: The times, as in `ExportedFormat`.
        validation_accuracy, test_accuracy: The run's accuracies, 0…1.
    """

    name: str
    network: str
    parameters: int
    size_bytes: int
    latency_ms: tuple[float, float]
    validation_accuracy: float
    test_accuracy: float
