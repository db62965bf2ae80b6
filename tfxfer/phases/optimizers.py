"""AdamW with a separate learning rate for each block."""

from __future__ import annotations

from typing import Any

import keras

# Weight decay pulls weights towards zero, which is wrong for biases and normalisation's scales.
_NOT_DECAYED = ("bias", "gamma", "beta")


class LayerwiseAdamW(keras.optimizers.Adam):
    """AdamW (Loshchilov & Hutter 2019) with a factor on the rate of each weight.

    Keras has one rate for all weights, and `keras.optimizers.MultiOptimizer` clips the gradients of
    each of its parts separately; here all gradients together have one norm.

    Args:
        learning_rate: The rate or schedule of weights that `factors` does not name.
        factors: The factor on the rate, by a weight's path.
        decay: The decoupled weight decay of kernels, which is multiplied by their rate.
        clip_norm: The upper bound of the global norm of all gradients.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        factors: dict[str, float] | None = None,
        decay: float = 1e-4,
        clip_norm: float = 1.0,
    ) -> None:
        super().__init__(learning_rate=learning_rate, global_clipnorm=clip_norm)
        self.factors = dict(factors or {})
        self.decay = decay

    def build(self, variables):
        super().build(variables)
        paths = [variable.path for variable in variables]
        self._factor_list = [self.factors.get(path, 1.0) for path in paths]
        self._decay_list = [0.0 if path.endswith(_NOT_DECAYED) else self.decay for path in paths]

    def _clip_gradients(self, gradients):
        # With several replicas, Keras would clip the gradients of each one instead of their sum.
        return gradients if self._is_mirrored() else super()._clip_gradients(gradients)

    def _all_reduce_sum_gradients(self, pairs):
        summed = super()._all_reduce_sum_gradients(pairs)
        if not self._is_mirrored():
            return summed
        gradients, variables = zip(*summed, strict=True)
        return list(zip(super()._clip_gradients(list(gradients)), variables, strict=True))

    def _is_mirrored(self) -> bool:
        """Return whether TensorFlow has several replicas; JAX's gradients cover all devices."""
        strategy = getattr(self, "_distribution_strategy", None)
        return strategy is not None and strategy.num_replicas_in_sync > 1

    def update_step(self, gradient, variable, learning_rate):
        # This method gets the backend's own variables, which have no path.
        index = self._get_variable_index(variable)
        rate = learning_rate * self._factor_list[index]
        if self._decay_list[index]:
            shrink = keras.ops.cast(rate * self._decay_list[index], variable.dtype)
            self.assign_sub(variable, variable * shrink)
        super().update_step(gradient, variable, rate)
