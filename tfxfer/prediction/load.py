"""The table of models that can predict: one line for each kind of address or file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tfxfer import run
from tfxfer.errors import InputError
from tfxfer.prediction.loaders.keras_models import load_run, load_saved_model
from tfxfer.prediction.loaders.litert import load_litert
from tfxfer.prediction.loaders.onnx import load_onnx
from tfxfer.prediction.loaders.openvino import load_openvino
from tfxfer.prediction.loaders.remote import connect_grpc, connect_rest
from tfxfer.prediction.predictor import Predictor

# These functions open an address that begins so.
ADDRESSES: dict[str, Callable[[str, bool], Predictor]] = {
    "http://": connect_rest,
    "https://": connect_rest,
    "grpc://": connect_grpc,
}
# These functions open a file that ends so.
ENDINGS: dict[str, Callable[[Path, bool], Predictor]] = {
    ".tflite": load_litert,
    ".onnx": load_onnx,
    ".xml": load_openvino,
}


def load_predictor(
    place: str | Path, *, with_embeddings: bool = False, trust: bool = False
) -> Predictor:
    """Make a model ready to predict.

    Args:
        place: A run's folder, a ``.keras`` file, a SavedModel's folder or the folder of its
            versions, a ``.tflite``, ``.onnx`` or OpenVINO ``.xml`` file, or a model of a running
            TensorFlow Serving: ``http://HOST:8501/v1/models/NAME`` or ``grpc://HOST:8500/NAME``.
        with_embeddings: Also predict embeddings, the features that the head reads.
        trust: Load a run's model even if it holds a program, as in `tfxfer.load_model`.

    Raises:
        InputError: There is no model, it cannot be read, or it gives no embeddings.
    """
    text = str(place)
    for prefix, connect in ADDRESSES.items():
        if text.lower().startswith(prefix):
            return connect(text, with_embeddings)
    path = Path(place)
    load = ENDINGS.get(path.suffix.lower())
    if load is not None and path.is_file():
        return load(path, with_embeddings)
    if path.suffix == ".keras" or (path / run.MODEL).is_file():
        return load_run(path, with_embeddings, trust)
    saved_model = newest_version(path)
    if saved_model is not None:
        return load_saved_model(saved_model, with_embeddings)
    raise InputError(
        "A model is a run's folder, a .keras file, the folder of a SavedModel, a .tflite, .onnx or "
        "OpenVINO .xml file, or the address of one that is served (http://HOST:8501/v1/models/NAME "
        f"or grpc://HOST:8500/NAME). Received: {text!r}, where there is none. Check the path."
    )


def newest_version(path: Path) -> Path | None:
    """Return a SavedModel's folder: this one, or the one in it with the largest number.

    TensorFlow Serving chooses the version in the same way. None says that there is no SavedModel.
    """
    if (path / "saved_model.pb").is_file():
        return path
    versions = [each for each in path.glob("*/saved_model.pb") if each.parent.name.isdecimal()]
    return max(versions, key=lambda each: int(each.parent.name)).parent if versions else None
