"""The curves of a phase for TensorBoard, without which a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


class Curves(keras.callbacks.TensorBoard):
    """A callback that writes the figures of each epoch, and notes it once if it cannot.

    Args:
        folder: The folder for the curves.
        say: A function that is given the note.
    """

    # It writes once an epoch; without this, JAX would wait after every step for its loss.
    async_safe = True

    def __init__(self, folder: Path, say: Callable[[str], None] | None):
        super().__init__(folder, write_graph=False)
        self._say = say

    def set_model(self, model: keras.Model) -> None:
        self._try(super().set_model, model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._try(super().on_train_begin, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._try(super().on_epoch_end, epoch, logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._try(super().on_train_end, logs)

    def _try(self, write: Callable[..., Any], *given: Any) -> None:
        try:
            write(*given)
        except (OSError, tf.errors.OpError) as error:
            if self._say:
                self._say(
                    f"curves for TensorBoard cannot be written to {str(self.log_dir)!r} "
                    f"({type(error).__name__}); the run goes on without them"
                )
            self._say = None
