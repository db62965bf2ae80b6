"""The checks of `tfxfer doctor`: one function for each question about an installation.

This module imports TensorFlow only when a check needs it.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

import tfxfer
from tfxfer.machine import runtime
from tfxfer.records.checks import Check

_GIGA = 1e9
# So much disk holds the features of a thousand pictures and a run's folder.
_LEAST_FREE_BYTES = 2_000_000_000
_LEAST_MEMORY_BYTES = 3_000_000_000
_TIMEOUT_SECONDS = 4.0

# Each host serves these things; the second text says what to do if it cannot be reached.
HUBS = {
    "storage.googleapis.com": (
        "ImageNet weights of Keras and TensorFlow Datasets",
        "name a weights file (--weights FILE) and a prepared folder "
        "(--set data.reading.data_dir=DIR)",
    ),
    "tfhub.dev": ("hub:https://tfhub.dev/…", "name a module's folder: --backbone hub:FOLDER"),
    "www.kaggle.com": ("hub:OWNER/MODEL/…", "name a module's folder: --backbone hub:FOLDER"),
    "huggingface.co": ("keras_hub: presets", "name a preset's folder: --backbone keras_hub:FOLDER"),
}

# A row is an environment variable, a test of harmful values, their effect, and what to do.
ENVIRONMENT: tuple[tuple[str, Callable[[str], bool], str, str], ...] = (
    (
        "TF_USE_LEGACY_KERAS",
        lambda value: value.lower() not in ("", "0", "false"),
        "makes tf.keras Keras 2, which tfxfer's models are not made for",
        "unset TF_USE_LEGACY_KERAS",
    ),
    (
        "KERAS_BACKEND",
        lambda value: value not in ("", "tensorflow", "jax"),
        "is a backend that tfxfer does not train on",
        "unset KERAS_BACKEND, or set it to tensorflow or jax",
    ),
    (
        "TF_ENABLE_ONEDNN_OPTS",
        lambda value: value == "0",
        "switches off the fast arithmetic of CPUs, and training in bfloat16 with it",
        "unset TF_ENABLE_ONEDNN_OPTS",
    ),
)

# A row is two packages with versions that do not work together, and the reason.
BAD_PAIRS: tuple[tuple[str, str, str, str, str], ...] = (
    ("keras", ">=3", "tensorflow", "<2.16", "TensorFlow before 2.16 brings Keras 2 as tf.keras"),
    ("numpy", ">=2", "tensorflow", "<2.18", "TensorFlow before 2.18 was built for NumPy 1"),
    ("keras-tuner", ">=1.5", "tfxfer", ">=0", "tfxfer extends the oracles of 1.4"),
    ("protobuf", ">=8", "tensorflow-serving-api", "<=2.21", "its messages are of protobuf 6 and 7"),
)


def check_python() -> Iterable[Check]:
    """Check the version of Python and name the system."""
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    is_tested = (3, 11) <= sys.version_info[:2] <= (3, 13)
    fix = "" if is_tested else "tfxfer is tested on Python 3.11 to 3.13: install one of these"
    yield Check("python", text, "ok" if is_tested else "warning", fix)


def check_packages() -> Iterable[Check]:
    """Check that each package that tfxfer needs is installed in an allowed version."""
    from packaging.requirements import Requirement

    faults = []
    for text in requires("tfxfer") or ():
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        installed = _version_of(requirement.name)
        if installed is None:
            faults.append(f"{requirement.name} is missing")
        elif not requirement.specifier.contains(installed, prereleases=True):
            faults.append(f"{requirement.name} is {installed}, needed {requirement.specifier}")
    names = ("tensorflow", "keras", "tensorflow-datasets", "keras-tuner", "openvino", "numpy")
    listed = ", ".join(f"{name} {_version_of(name) or 'none'}" for name in names)
    yield Check("packages", f"tfxfer {tfxfer.__version__}, {listed}", "ok")
    for fault in faults:
        yield Check("packages", fault, "error", "pip install --upgrade tfxfer")


def check_pairs() -> Iterable[Check]:
    """Find versions of packages that do not work together."""
    from packaging.specifiers import SpecifierSet

    for one, its, other, theirs, reason in BAD_PAIRS:
        first, second = _version_of(one), _version_of(other)
        if first is None or second is None:
            continue
        matches = SpecifierSet(its).contains(first) and SpecifierSet(theirs).contains(second)
        if matches:
            yield Check(
                "versions",
                f"{one} {first} with {other} {second}: {reason}",
                "error",
                "pip install --constraint tools/constraints.txt tfxfer installs a tested set",
            )


def check_extras() -> Iterable[Check]:
    """List the optional packages that are installed, and those that are not."""
    extras = {
        "jax": ("jax",),
        "keras-hub": ("keras_hub",),
        "litert": ("ai_edge_litert",),
        "onnx": ("onnx", "tf2onnx", "onnxruntime"),
        "parquet": ("pyarrow",),
    }
    there = {name: all(map(find_spec, modules)) for name, modules in extras.items()}
    missing = [name for name, is_there in there.items() if not is_there]
    found = ", ".join(name for name, is_there in there.items() if is_there) or "none"
    fix = f'pip install "tfxfer[{",".join(missing)}]" where they are wanted' if missing else ""
    yield Check("extras", found, "ok", fix)


def check_environment() -> Iterable[Check]:
    """Find environment variables with harmful values."""
    for name, is_bad, reason, fix in ENVIRONMENT:
        value = os.environ.get(name, "")
        if is_bad(value):
            yield Check("environment", f"{name}={value} {reason}", "error", fix)


def check_devices() -> Iterable[Check]:
    """Name the device that trains, its arithmetic, and the engines that run frozen layers."""
    runtime.import_tensorflow()
    import keras

    from tfxfer.features.engines import describe_engine, list_candidates
    from tfxfer.machine.devices import find_device
    from tfxfer.phases import precision

    yield Check("backend", f"Keras on {keras.backend.backend()}", "ok")
    yield Check("device", runtime.describe_device(), "ok")
    flags = _cpu_flags()
    known = {"amx_bf16": "AMX bfloat16", "avx512_bf16": "AVX-512 bfloat16", "avx512f": "AVX-512"}
    fast = [text for flag, text in known.items() if flag in flags]
    if flags:
        yield Check("arithmetic", ", ".join(fast) or "float32 alone", "ok")
    precisions = precision.list_candidates(find_device())
    by_attempt = " by trial" if len(precisions) > 1 else ""
    yield Check("precision", ", ".join(precisions) + by_attempt, "ok")
    engines = ", ".join(describe_engine(name) for name in list_candidates())
    if "openvino" in engines or runtime.has_accelerator():
        yield Check("engines", engines, "ok")
    else:
        fix = "pip install openvino: it runs frozen layers several times faster on CPUs"
        if keras.backend.backend() != "tensorflow":
            fix = (
                "KERAS_BACKEND=tensorflow: OpenVINO runs frozen layers faster on CPUs, for it alone"
            )
        yield Check("engines", engines, "warning", fix)


def check_exports() -> Iterable[Check]:
    """Check that TensorFlow reads the programs that JAX exports, if Keras runs on JAX."""
    runtime.import_tensorflow()
    from tfxfer.export.jax_program import describe_versions, is_readable
    from tfxfer.machine.compiled import is_on

    if is_on("jax"):
        is_fine = is_readable()
        text = "TensorFlow " + ("reads" if is_fine else "cannot read") + " what JAX exports"
        fix = "" if is_fine else 'pip install "tfxfer[jax]", or KERAS_BACKEND=tensorflow'
        yield Check("exports", f"{text}: {describe_versions()}", "ok" if is_fine else "error", fix)


def check_room() -> Iterable[Check]:
    """Check the free memory, and the free disk space for features and data sets."""
    from tfxfer.cache.folder import locate

    memory = runtime.available_memory_bytes()
    is_enough = memory >= _LEAST_MEMORY_BYTES
    fix = "" if is_enough else "close other programs, or take smaller batches and pictures"
    yield Check("memory", f"{memory / _GIGA:.1f} GB free", "ok" if is_enough else "warning", fix)
    folders = {
        "cache": (locate(), "set TFXFER_CACHE to another folder"),
        "data sets": (
            Path(os.environ.get("TFDS_DATA_DIR", Path.home() / "tensorflow_datasets")),
            "set TFDS_DATA_DIR to another folder",
        ),
    }
    for name, (folder, fix) in folders.items():
        place = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(place).free
        text = f"{folder}: {free / _GIGA:.1f} GB free"
        if not place.is_dir() or not os.access(place, os.W_OK):
            yield Check(name, f"{folder} cannot be written to", "error", fix)
        elif free < _LEAST_FREE_BYTES:
            yield Check(name, text, "warning", f"{fix}, or tfxfer cache --clear")
        else:
            yield Check(name, text, "ok")


def check_hubs() -> Iterable[Check]:
    """Check that the hosts of weights and data sets can be reached."""
    with ThreadPoolExecutor(len(HUBS)) as pool:
        reached = list(pool.map(_is_reached, HUBS))
    for (host, (what, fix)), is_there in zip(HUBS.items(), reached, strict=True):
        if is_there:
            yield Check("hubs", f"{host}: reached", "ok")
        else:
            text = f"{host} cannot be reached: no {what}"
            yield Check("hubs", text, "warning", f"without a network, {fix}")


CHECKS: tuple[Callable[[], Iterable[Check]], ...] = (
    check_python,
    check_packages,
    check_pairs,
    check_extras,
    check_environment,
    check_devices,
    check_exports,
    check_room,
    check_hubs,
)


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _is_reached(host: str) -> bool:
    import requests

    try:
        requests.head(f"https://{host}/", timeout=_TIMEOUT_SECONDS, allow_redirects=False)
    except requests.RequestException:
        return False
    return True


def _cpu_flags() -> frozenset[str]:
    """Return the feature flags of the CPU; an empty set if the system does not list them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return frozenset(lines[0].partition(":")[2].split()) if lines else frozenset()
