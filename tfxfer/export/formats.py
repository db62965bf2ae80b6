"""The table of formats that a trained model can be written in."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfxfer.errors import InputError, first_line, nearest
from tfxfer.export.litert import convert_litert
from tfxfer.machine.compiled import caller, check_backend
from tfxfer.machine.openvino import convert_openvino, import_openvino

Representative = Callable[[], Iterable[np.ndarray]]
Write = Callable[[keras.Model, Path, Sequence[str], Representative], None]


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        file: The name of the file, below the export's folder.
        write: A function that writes a model with its class names. It gets a function that yields
            pictures of `split`, ``[size, size, 3]`` float32, 0…255.
        tolerance: The largest allowed difference from the trained model's probabilities; None for
            a format with integer arithmetic, which is judged by its accuracy.
        needs: The packages that it needs.
        extra: The extra of tfxfer that installs these packages; empty if there is none.
        split: The split whose pictures decide how numbers are rounded. Integer ranges are taken
            from training pictures. Which weights bear rounding is seen on validation pictures.
    """

    file: str
    write: Write
    tolerance: float | None = None
    needs: tuple[str, ...] = ()
    extra: str = ""
    split: str = "train"

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all files: OpenVINO's weights lie beside its network."""
        return (
            (self.file, self.file.replace(".xml", ".bin")) if "xml" in self.file else (self.file,)
        )


def _write_litert(
    kind: str, model: keras.Model, path: Path, classes: Sequence[str], items: Representative
) -> None:
    convert_litert(model, kind, path, classes, items)


def _write_onnx(
    model: keras.Model, path: Path, classes: Sequence[str], items: Representative
) -> None:
    with _explained("ONNX"), _plain_numbers(model):
        model.export(str(path), format="onnx", verbose=False, input_signature=_signature(model))


def _write_openvino(
    model: keras.Model, path: Path, classes: Sequence[str], items: Representative
) -> None:
    ov = import_openvino()
    run = tf.function(caller(model), input_signature=_signature(model), autograph=False)
    traced = run.get_concrete_function()
    with _explained("OpenVINO"):
        network = convert_openvino(traced)
        network.input(0).tensor.set_names({"pictures"})
        network.output(0).tensor.set_names({"probabilities"})
        ov.save_model(network, str(path), compress_to_fp16=False)


_FLOAT = 1e-3
FORMATS: dict[str, Format] = {
    "litert_float32": Format(
        "model_float32.tflite", partial(_write_litert, "float32"), _FLOAT,
        ("ai_edge_litert",), "litert",
    ),
    "litert_float16": Format(
        "model_float16.tflite", partial(_write_litert, "float16"), _FLOAT,
        ("ai_edge_litert",), "litert", "validation",
    ),
    "litert_dynamic": Format(
        "model_dynamic.tflite", partial(_write_litert, "dynamic"), None,
        ("ai_edge_litert",), "litert",
    ),
    "litert_int8": Format(
        "model_int8.tflite", partial(_write_litert, "int8"), None,
        ("ai_edge_litert",), "litert",
    ),
    "onnx": Format(
        "model.onnx", _write_onnx, _FLOAT, ("onnx", "tf2onnx", "onnxruntime"), "onnx"
    ),
    "openvino": Format("model.xml", _write_openvino, _FLOAT, ("openvino",)),
}  # fmt: skip
SAVED_MODEL = "saved_model"
# These names stand for several formats: those of LiteRT, and all.
_LITERT, _ALL = "litert", "all"


def resolve_formats(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of single formats, each once, in the order in which they were named.

    Raises:
        InputError: There is no such format.
    """
    groups = {
        _LITERT: tuple(name for name in FORMATS if name.startswith(f"{_LITERT}_")),
        _ALL: (SAVED_MODEL, *FORMATS),
    }
    known = (*groups[_ALL], *groups)
    resolved: dict[str, None] = {}
    for name in names:
        if name not in known:
            raise InputError(
                f"--format takes {', '.join(known)}. Received: {name!r}.{nearest(name, known)}"
            )
        resolved.update(dict.fromkeys(groups.get(name, (name,))))
    return tuple(resolved)


def check_packages(names: Sequence[str]) -> None:
    """Refuse formats whose packages are missing, or that Keras's backend has no converter for.

    Raises:
        InputError: A format cannot be written; the error says what to install or to set.
    """
    for name in names:
        form = FORMATS.get(name)
        if form:
            check_backend(f"The converter to {name}", "take saved_model")
        missing = [package for package in form.needs if not find_spec(package)] if form else []
        if form and missing:
            wanted = f'"tfxfer[{form.extra}]"' if form.extra else " ".join(missing)
            raise InputError(
                f"The format {name} needs {', '.join(form.needs)}. Received: an environment "
                f"without {', '.join(missing)}. Install: pip install {wanted}"
            )


def _signature(model: keras.Model) -> list[tf.TensorSpec]:
    return [tf.TensorSpec(model.input_shape, tf.float32, "pictures")]


@contextmanager
def _plain_numbers(model: keras.Model) -> Iterator[None]:
    """Let Normalization layers hold NumPy arrays inside the block.

    tf2onnx 1.17 takes their tensors, which are no variables, for inputs of the model.
    """
    layers = [
        layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Normalization)
    ]
    before = [(layer.mean, layer.variance) for layer in layers]
    for layer in layers:
        layer.mean = keras.ops.convert_to_numpy(layer.mean)
        layer.variance = keras.ops.convert_to_numpy(layer.variance)
    try:
        yield
    finally:
        for layer, (mean, variance) in zip(layers, before, strict=True):
            layer.mean, layer.variance = mean, variance


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn the errors of a converter into one that says what to do."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (InputError, OSError):
        raise
    except Exception as error:  # Converters raise errors of many types.
        raise InputError(
            f"The model must consist of layers that {name} knows. Received: one that its "
            f"converter refuses ({first_line(error)}). Export another format, such as saved_model."
        ) from error
