"""Inference engines for frozen layers, which turn a prefix into a function of batches."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tfxfer.errors import InputError
from tfxfer.machine import runtime
from tfxfer.machine.compiled import Call, caller, compile_model, fill_up, is_on, list_devices
from tfxfer.machine.devices import find_device
from tfxfer.machine.openvino import convert_openvino, import_openvino

# One call takes so many items; larger batches do not fit in the CPU's caches.
BATCH = 16
# OpenVINO keeps a core busy with fewer items, whose features stay in that core's cache. No
# network that was tested was slower than with 16, and small ones were faster by a fourth.
_OPENVINO_BATCH = 4
# So many weights of a network become constants of its graph; a graph may hold 2 GB.
_MOST_CONSTANTS = 200_000_000
# One call of a GPU or a TPU, which has room for more, takes so many batches.
_ACCELERATOR_BATCHES = 8
Run = Callable[[Iterable[np.ndarray]], Iterator[list[np.ndarray]]]
# Prefixes as OpenVINO models, with the functions that these were converted from. The weights of a
# prefix do not change while it lives.
_CONVERTED: WeakKeyDictionary[keras.Model, Any] = WeakKeyDictionary()


@dataclass(frozen=True)
class Engine:
    """A prefix made ready to run.

    Attributes:
        name: The engine's key in `ENGINES`.
        run: A function from batches of items ``[batch, size, size, 3]`` float32, at most `BATCH`
            each, to lists of features ``[batch, …]`` float32, in their order.
        error: The relative difference of its features from Keras's.
        items_per_second: The speed in the comparison; None if there was none.
    """

    name: str
    run: Run
    error: float = 0.0
    items_per_second: float | None = None


def build_openvino(prefix: keras.Model, precision: str | None = None) -> Run:
    """Build an engine on OpenVINO: asynchronous, on all CPU cores.

    Args:
        precision: ``"f32"`` or ``"bf16"``; None takes bfloat16 if the processor has it.
    """
    ov = import_openvino()
    core = ov.Core()
    settings = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": precision or _openvino_precision(core),
    }
    compiled = core.compile_model(_convert_once(prefix), "CPU", settings)
    count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 2
    outputs = range(len(prefix.outputs))

    def collect(request) -> list[np.ndarray]:
        request.wait()
        return [np.array(request.get_output_tensor(index).data) for index in outputs]

    def run_parts(parts: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        # Each run has its own requests, because another run may have been left in the middle.
        requests = [compiled.create_infer_request() for _ in range(count)]
        waiting: deque = deque()
        for index, (part, size) in enumerate(padded(parts, _OPENVINO_BATCH)):
            if len(waiting) == count:
                request, earlier = waiting.popleft()
                yield [output[:earlier] for output in collect(request)]
            request = requests[index % count]
            request.start_async({0: part})
            waiting.append((request, size))
        for request, size in waiting:
            yield [output[:size] for output in collect(request)]

    def run(batches: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        counts: deque[int] = deque()  # It holds the number of parts of each batch.

        def count_parts() -> Iterator[np.ndarray]:
            for batch in batches:
                parts = in_parts(batch, _OPENVINO_BATCH)
                counts.append(len(parts))
                yield from parts

        results = run_parts(count_parts())
        for first in results:
            rest = islice(results, counts.popleft() - 1)
            yield [np.concatenate(parts) for parts in zip(first, *rest, strict=True)]

    return run


def _convert_once(prefix: keras.Model) -> Any:
    """Return a prefix as an OpenVINO model; both engines on OpenVINO compile the same one."""
    if prefix not in _CONVERTED:
        traced = _trace(prefix, _OPENVINO_BATCH)
        _CONVERTED[prefix] = convert_openvino(traced), traced
    return _CONVERTED[prefix][0]


def narrow(prefix: keras.Model, positions: Sequence[int]) -> keras.Model:
    """Return a prefix that gives only some outputs of another one; nothing is converted again."""
    part = keras.Model(prefix.inputs, [prefix.outputs[each] for each in positions], name="prefix")
    if prefix in _CONVERTED:
        whole, traced = _CONVERTED[prefix]
        results = [whole.get_results()[each] for each in positions]
        _CONVERTED[part] = import_openvino().Model(results, whole.get_parameters()), traced
    return part


def build_tensorflow(prefix: keras.Model) -> Run:
    """Build an engine on TensorFlow in float32, with the weights as constants of the graph."""
    traced = _trace(prefix)
    # The weights of a module of TF-Hub are variables still.
    constant = convert_variables_to_constants_v2(traced) if traced.captured_inputs else traced
    (given,) = constant.inputs
    spec = tf.TensorSpec(given.shape, given.dtype)
    # When it is called directly, TensorFlow prints each batch into an error that it catches itself.
    called = tf.function(constant, autograph=False)
    return _call_each(called.get_concrete_function(spec))


def build_jax(prefix: keras.Model) -> Run:
    """Build an engine on JAX in float32, compiled by XLA, on all devices of this process."""
    return _call_groups(compile_model(prefix), prefix)


def build_xla(prefix: keras.Model) -> Run:
    """Build an engine on XLA with mixed precision: bfloat16, or float16 on older GPUs."""
    layers = [layer for layer in prefix._flatten_layers() if layer is not prefix]
    with in_policy(layers, _mixed_policy()):
        if is_on("jax"):
            return _call_groups(compile_model(prefix), prefix)
        return _call_each(_trace(prefix, jit_compile=True, has_constants=False))


ENGINES: dict[str, Callable[[keras.Model], Run]] = {
    "openvino": build_openvino,
    "openvino_float32": partial(build_openvino, precision="f32"),
    "tensorflow": build_tensorflow,
    "xla": build_xla,
    "jax": build_jax,
}
_ON_OPENVINO = ("openvino", "openvino_float32")
# Each engine can take a prefix from these backends of Keras.
_BACKENDS = {
    "openvino": ("tensorflow",),
    "openvino_float32": ("tensorflow",),
    "tensorflow": ("tensorflow",),
    "xla": ("tensorflow", "jax"),
    "jax": ("jax",),
}


@cache
def describe_engine(name: str) -> str:
    """Name an engine together with everything that decides the rounding of its features."""
    if name in _ON_OPENVINO:
        is_exact = name == "openvino_float32"
        precision = "f32" if is_exact else _openvino_precision(import_openvino().Core())
        return f"openvino {version('openvino')}, {precision}"
    if name == "jax":
        return f"jax {version('jax')}"
    return f"xla, {_mixed_policy()}" if name == "xla" else name


def check_installed(name: str) -> None:
    """Refuse an engine whose package is missing, or that does not work with Keras's backend.

    Raises:
        InputError: The engine cannot be used; the error says what to install or to take.
    """
    backend = keras.backend.backend()
    if backend not in _BACKENDS.get(name, (backend,)):
        possible = [other for other, backends in _BACKENDS.items() if backend in backends]
        raise InputError(
            f"engine must be auto, or one for Keras on {backend}: {', '.join(possible)}. Received: "
            f"engine={name!r}, KERAS_BACKEND={backend}. Take --set features.engine=auto."
        )
    if name in _ON_OPENVINO and find_spec("openvino") is None:
        raise InputError(
            f"engine={name!r} needs the package openvino. Received: an environment without it. "
            "Install it (pip install openvino), or take engine='auto'."
        )


def list_served(wanted: str) -> tuple[str, ...]:
    """Return the engines that compute in float32, as the served model does, the fastest first.

    Args:
        wanted: The engine that a config asks for, or ``"auto"``; if it computes so itself, it is
            the only one.
    """
    if is_on("jax"):
        return ("jax",)
    has_openvino = find_spec("openvino") and not runtime.has_accelerator()
    if wanted == "tensorflow" or not has_openvino:
        return ("tensorflow",)
    return ("openvino_float32", "tensorflow")


def list_candidates() -> tuple[str, ...]:
    """Return the engines that are worth a comparison on this machine."""
    if is_on("jax"):
        return ("xla", "jax") if runtime.has_accelerator() else ("jax",)
    if runtime.has_accelerator():
        return ("xla", "tensorflow")
    return ("openvino", "tensorflow") if find_spec("openvino") else ("tensorflow",)


@contextmanager
def in_policy(layers: Sequence[keras.layers.Layer], policy: str) -> Iterator[None]:
    """Let layers compute under a precision policy while a model is built or traced in the block."""
    before = [layer.dtype_policy for layer in layers]
    for layer in layers:
        layer.dtype_policy = keras.DTypePolicy(policy)
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.dtype_policy = own


def _trace(
    prefix: keras.Model,
    size: int = BATCH,
    *,
    jit_compile: bool | None = None,
    has_constants: bool = True,
) -> Any:
    """Trace a concrete function over batches of `size` items.

    Args:
        has_constants: Whether Keras's weights become constants of the graph, unless they are very
            large: engines would look for each variable of a graph, which takes seconds.
    """
    (given,) = prefix.inputs
    spec = tf.TensorSpec([size, *given.shape[1:]], given.dtype)
    run, weights = caller(prefix), prefix.weights
    if sum(math.prod(each.shape) for each in weights) > _MOST_CONSTANTS or not has_constants:
        weights = []
    values = [(each, each.numpy()) for each in weights]

    def call(batch: tf.Tensor) -> list[tf.Tensor]:
        with keras.StatelessScope([(each, tf.constant(value)) for each, value in values]):
            return run(batch)

    function = tf.function(call if values else run, jit_compile=jit_compile, autograph=False)
    return function.get_concrete_function(spec)


def _call_each(function: Callable) -> Run:
    def run(batches: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        for batch, size in padded(batches):
            yield [output.numpy()[:size] for output in function(tf.constant(batch))]

    return run


def _call_groups(call: Call, prefix: keras.Model) -> Run:
    """Run several batches in one call: one for each device, and more on GPUs and TPUs."""
    count = len(list_devices()) * (_ACCELERATOR_BATCHES if runtime.has_accelerator() else 1)
    (given,) = prefix.inputs
    if None in given.shape[1:]:
        count = 1  # Batches of different lengths do not go in one call.
    # This compiles the model now, under the present precision policy.
    sides = [1 if side is None else side for side in given.shape[1:]]
    call(np.zeros((count * BATCH, *sides), given.dtype))

    def run(batches: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        for group in batched(padded(batches), count):
            joined = np.concatenate([batch for batch, _ in group])
            outputs = call(fill_up(joined, count * BATCH))
            for index, (_, size) in enumerate(group):
                start = index * BATCH
                yield [output[start : start + size] for output in outputs]

    return run


def batched(items: Iterable, size: int) -> Iterator[list]:
    """Yield lists of `size` items, the last one shorter, like Python 3.12's `itertools.batched`."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


def in_parts(items: np.ndarray, size: int) -> list[np.ndarray]:
    """Divide items into batches of `size`, of which the last one may be smaller."""
    return np.split(items, range(size, len(items), size))


def padded(batches: Iterable[np.ndarray], size: int = BATCH) -> Iterator[tuple[np.ndarray, int]]:
    """Yield batches filled up to one size, for which engines compile, with their true sizes."""
    for batch in batches:
        yield fill_up(batch, size), len(batch)


def _openvino_precision(core) -> str:
    has_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if has_bfloat16 else "f32"


def _mixed_policy() -> str:
    """Return the mixed policy: bfloat16, which cannot overflow, or float16 before Ampere GPUs."""
    is_older = (find_device().compute_capability or (8, 0)) < (8, 0)
    return "mixed_float16" if is_older else "mixed_bfloat16"
