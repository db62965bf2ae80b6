"""Compile the programs of a run for a TPU or GPU that is not here, and see their arithmetic.

    KERAS_BACKEND=jax python tools/compile_ahead.py v5e     # TPUs: pip install "jax[tpu]"
    KERAS_BACKEND=jax python tools/compile_ahead.py h100    # GPUs: pip install "jax[cuda13]"

XLA can compile for a device of which it only has a description. Programs that it refuses here would
fail there, for example because the device lacks an operation or a shape is not known beforehand.
Nothing is run, so that neither the speed nor the memory during a run is seen. Networks have random
weights. The frozen layers below their top four blocks and the training of the layers above (with
--whole, also of the whole network) are compiled for one device and, with batches divided as by
Keras's DataParallel, for four. The tool prints a Markdown table of the types that convolutions and
matrix products give, and of the device memory that a batch takes.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from bench_devices import CLASSES, DEFAULT, build_parts, in_training

from tfxfer.errors import InputError, exit_code, first_line
from tfxfer.machine import runtime
from tfxfer.modalities.pictures.networks.families import NETWORKS

ARITHMETIC = ("float32", "mixed_bfloat16", "mixed_float16")
HEADER = """| network | part | arithmetic | devices | multiplied in | beside weights | compiled in |
|---|---|---|---|---|---|---|"""
# This matches an instruction of a compiled program: the type of its result, and its operation.
INSTRUCTION = re.compile(r"= \(?(\w+)\[.* (convolution|dot|custom-call)\((.*)")
PRODUCTS = ("conv", "gemm", "dot", "matmul")


@dataclass(frozen=True)
class Gpu:
    """The properties of a GPU that XLA needs, from CUDA's device properties and data sheets.

    Attributes:
        name: The name that the driver gives.
        capability: The compute capability.
        cores, units: The number of multiprocessors, and of units for float32 in each.
        shared_bytes, most_shared_bytes: The memory that a multiprocessor's threads share, and the
            part that a block of threads can have.
        threads: The number of threads of a multiprocessor.
        cache_bytes, memory_bytes: The cache and the memory of the whole GPU.
        bytes_per_second: The bandwidth of its memory.
        clock_ghz: The highest clock rate.
    """

    name: str
    capability: tuple[int, int]
    cores: int
    units: int
    shared_bytes: int
    most_shared_bytes: int
    threads: int
    cache_bytes: int
    memory_bytes: int
    bytes_per_second: int
    clock_ghz: float

    def describe(self) -> str:
        """Return XLA's description of the target, in protobuf's text format."""
        major, minor = self.capability
        return f"""
            gpu_device_info {{
              cuda_compute_capability {{ major: {major} minor: {minor} }}
              core_count: {self.cores} fpus_per_core: {self.units} clock_rate_ghz: {self.clock_ghz}
              threads_per_warp: 32 threads_per_block_limit: 1024
              threads_per_core_limit: {self.threads}
              block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
              shared_memory_per_block: 49152 shared_memory_per_core: {self.shared_bytes}
              shared_memory_per_block_optin: {self.most_shared_bytes}
              registers_per_core_limit: 65536 registers_per_block_limit: 65536
              l2_cache_size: {self.cache_bytes} device_memory_size: {self.memory_bytes}
              memory_bandwidth: {self.bytes_per_second}
            }}
            platform_name: "CUDA"
            dnn_version_info {{ major: 9 minor: 10 }}
            device_description_str: "{self.name}"
        """


GPUS = {
    "t4": Gpu("Tesla T4", (7, 5), 40, 64, 65536, 65536, 1024, 4 << 20, 15 << 30, 320 * 10**9, 1.59),
    "a100": Gpu(
        "NVIDIA A100-SXM4-80GB", (8, 0), 108, 64, 167936, 166912, 2048, 40 << 20, 79 << 30,
        2039 * 10**9, 1.41,
    ),
    "h100": Gpu(
        "NVIDIA H100 80GB HBM3", (9, 0), 132, 128, 233472, 232448, 2048, 50 << 20, 79 << 30,
        3352 * 10**9, 1.98,
    ),
}  # fmt: skip
# Topologies of four chips, and their names in the cloud.
TPUS = {
    "v2": ("v2:2x2", "v2-8"),
    "v3": ("v3:2x2", "v3-8"),
    "v4": ("v4:2x2x1", "v4-8"),
    "v5e": ("v5e:2x2", "v5litepod-4"),
    "v6e": ("v6e:2x2", "v6e-4"),
}
# The target "cpu" is this machine's own CPU, on which the tool itself can be tested.
TARGETS = ("cpu", *TPUS, *GPUS)
SEVERAL = 4


def prepare_environment(target: str) -> None:
    """Set the environment variables that XLA reads when it is imported.

    Raises:
        InputError: The compiler for the target is not installed.
    """
    packages = ((TPUS, "libtpu", "jax[tpu]"), (GPUS, "jax_cuda13_plugin", "jax[cuda13]"))
    for names, package, wanted in packages:
        if target in names and find_spec(package) is None:
            raise InputError(
                f"The compiler for {', '.join(names)} is in {wanted}. Received: {target!r} in an "
                f'environment without it. Install: pip install "{wanted}"'
            )
    os.environ |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    # Without these, libtpu asks the cloud which TPU this machine has.
    os.environ |= {
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": TPUS.get(target, ("", ""))[1],
        "TPU_WORKER_HOSTNAMES": "localhost",
    }
    # Without the GPU, XLA cannot try which variant is fastest.
    flags = " --xla_gpu_autotune_level=0" if target in GPUS else ""
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + flags


def list_devices(target: str) -> list[Any]:
    """Return the devices to compile for."""
    import jax
    from jax.experimental.topologies import get_topology_desc

    here = jax.devices()  # This loads JAX's plug-ins.
    if target in TPUS:
        return list(get_topology_desc(TPUS[target][0], "tpu").devices)
    if target in GPUS:
        settings = {"topology": f"1 x 1 x {SEVERAL}", "target_config": GPUS[target].describe()}
        return list(get_topology_desc("", "cuda", **settings).devices)
    return here


def compile_prefix(backbone, head, cut, policy: str, place: Callable[[Any, bool], Any], count: int):
    """Compile the frozen layers in inference mode for `count` pictures."""
    import jax
    import keras

    from tfxfer.features.cut import build_prefix
    from tfxfer.features.engines import in_policy

    prefix = build_prefix(backbone, head, [cut])
    layers = [layer for layer in prefix._flatten_layers() if layer is not prefix]
    weights = tuple(
        [variable.value for variable in group]
        for group in (prefix.trainable_variables, prefix.non_trainable_variables)
    )

    def run(weights: tuple[list[Any], list[Any]], pictures: Any) -> list[Any]:
        outputs, _ = prefix.stateless_call(*weights, pictures, training=False)
        return [output.astype("float32") for output in keras.tree.flatten(outputs)]

    pictures = np.zeros((count, *prefix.input_shape[1:]), np.float32)
    with in_policy(layers, policy):
        return jax.jit(run).lower(place(weights, False), place(pictures, True)).compile()


def compile_step(
    backbone, head, cut, precision: str, place: Callable[[Any, bool], Any], count: int
):
    """Compile a step of training, as Keras's `fit` does, for a batch of `count` pictures."""
    import jax

    batch = (np.zeros((count, *cut.shape), np.float32), np.zeros((count, CLASSES), np.float32))
    with in_training(backbone, head, cut, precision) as model:
        model._symbolic_build(data_batch=batch)  # As in `fit`, this makes the metrics' variables.
        groups = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        state = tuple([variable.value for variable in group] for group in groups)
        step = jax.jit(model.train_step, donate_argnums=0)
        return step.lower(place(state, False), place(batch, True)).compile()


def make_place(devices: list[Any]) -> Callable[[Any, bool], Any]:
    """Return a function that places arrays on devices: divided among them, or whole on each."""
    import jax

    mesh = jax.sharding.Mesh(np.array(devices), ("batch",))
    specs = {False: jax.sharding.PartitionSpec(), True: jax.sharding.PartitionSpec("batch")}

    def place(arrays: Any, is_divided: bool) -> Any:
        sharding = jax.sharding.NamedSharding(mesh, specs[is_divided])
        return jax.tree.map(
            lambda each: jax.ShapeDtypeStruct(each.shape, each.dtype, sharding=sharding), arrays
        )

    return place


def count_products(program: str) -> Counter[str]:
    """Count the types of the results of a program's convolutions and matrix products."""
    found: Counter[str] = Counter()
    for kind, operation, rest in INSTRUCTION.findall(program):
        target = re.search(r'custom_call_target="([^"]*)"', rest)
        if operation != "custom-call" or (
            target and any(word in target[1].lower() for word in PRODUCTS)
        ):
            found[kind] += 1
    return found


def format_row(compiled: Any, seconds: float) -> str:
    """Return the last three cells of a row."""
    products = count_products(compiled.as_text())
    multiplied = ", ".join(f"{kind} {count}" for kind, count in products.most_common())
    memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
    return f"{multiplied or '–'} | {memory:,.1f} MiB | {seconds:.1f} s"


def list_parts(
    name: str, size_px: int, batch: int, has_whole: bool
) -> Iterator[tuple[str, str, Callable]]:
    """Yield the parts to compile: a name, the arithmetic, and a function that compiles it."""
    from tfxfer.features.cut import find_cut

    backbone, head, cut = build_parts(name, size_px)
    trained = {"suffix": cut}
    if has_whole:
        trained["whole"] = find_cut(backbone, head, len(backbone.blocks))
    for policy in ARITHMETIC:
        yield "prefix", policy, partial(compile_prefix, backbone, head, cut, policy, count=batch)
    for part, lowest in trained.items():
        for precision in ARITHMETIC:
            given = (backbone, head, lowest, precision)
            yield part, precision, partial(compile_step, *given, count=batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("target", choices=TARGETS, help="what to compile for")
    parser.add_argument("--networks", nargs="+", default=DEFAULT, choices=NETWORKS, metavar="NAME")
    parser.add_argument("--size", type=int, default=224, help="of the pictures in px; default 224")
    parser.add_argument("--batch", type=int, default=32, help="pictures of a batch; default 32")
    parser.add_argument("--whole", action="store_true", help="training of the whole network, too")
    arguments = parser.parse_args()
    prepare_environment(arguments.target)
    runtime.import_tensorflow()

    devices, versions = list_devices(arguments.target), runtime.list_versions()
    print(f"### {devices[0].device_kind}, compiled ahead\n")
    print(f"{arguments.size} px, batches of {arguments.batch}; jax {versions['jax']}\n")
    print(HEADER)
    failures = 0
    for name in arguments.networks:
        parts = list_parts(name, arguments.size, arguments.batch, arguments.whole)
        for part, arithmetic, build in parts:
            for count in sorted({1, min(SEVERAL, len(devices))}):
                start = time.monotonic()
                try:
                    compiled = build(make_place(devices[:count]))
                    cells = format_row(compiled, time.monotonic() - start)
                except Exception as failure:  # XLA may refuse one part; the others still count.
                    failures += 1
                    cells = f"– ({first_line(failure)}) | – | –"
                print(f"| {name} | {part} | {arithmetic} | {count} | {cells} |", flush=True)
    if failures:
        raise SystemExit(f"{failures} programs could not be compiled.")


if __name__ == "__main__":
    sys.exit(exit_code(main))
