"""The common part of tasks whose models give a probability for each class.

This module imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tfxfer.config.head import HeadConfig
from tfxfer.records.evaluations import ClassFigures, ItemResult

if TYPE_CHECKING:
    import numpy as np

    from tfxfer.tasks.heads import DenseHead
    from tfxfer.tasks.outputs import Output


class DenseTask:
    """A task whose head ends in one layer of probabilities. See `tfxfer.task.Task`.

    Attributes:
        activation: The activation of the last layer, a key of `outputs.OUTPUTS`.
    """

    activation: str

    @property
    def _output(self) -> Output:
        from tfxfer.tasks.outputs import OUTPUTS

        return OUTPUTS[self.activation]

    def build_head(self, config: HeadConfig, class_count: int, *, seed: int) -> DenseHead:
        """Make the layers of a head, whose last one has the task's activation."""
        from tfxfer.tasks.heads import build_head

        return build_head(config, class_count, seed, activation=self.activation)

    def list_figures(
        self, labels: Any, probabilities: np.ndarray, classes: Sequence[str]
    ) -> tuple[ClassFigures, ...]:
        """Return a model's figures on each class that occurs."""
        from tfxfer.tasks.by_class import list_figures

        return list_figures(labels, probabilities, classes)

    def list_results(
        self, places: Sequence[str], labels: Any, probabilities: np.ndarray, classes: Sequence[str]
    ) -> Iterator[ItemResult]:
        """Yield a model's result on each item."""
        from tfxfer.tasks.by_class import list_results

        return list_results(places, labels, probabilities, classes)

    def fit_temperature(self, labels: Any, probabilities: np.ndarray) -> float:
        """Return the temperature that calibrates the last layer."""
        from tfxfer.tasks.calibration import fit_temperature

        return fit_temperature(labels.truth, probabilities, self._output)

    def apply_temperature(self, probabilities: np.ndarray, temperature: float) -> np.ndarray:
        """Return the probabilities that result when the last layer's logits are divided."""
        from tfxfer.tasks.calibration import apply_temperature

        return apply_temperature(probabilities, temperature, self._output)

    def calibration_error(self, labels: Any, probabilities: np.ndarray) -> float:
        """Return the calibration error of the last layer's probabilities."""
        from tfxfer.tasks.calibration import expected_calibration_error

        return expected_calibration_error(labels.truth, probabilities, self._output)

    def to_logits(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the logits of the last layer's probabilities."""
        return self._output.to_logits(probabilities)
