"""The loading of the model in a run's folder."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from tfxfer import run
from tfxfer.errors import InputError, first_line
from tfxfer.machine import runtime


def load_model(path: str | Path, trust: bool = False):
    """Load the model of a run, whatever its backbone is made of.

    Args:
        path: A run's folder, or a ``.keras`` file.
        trust: Also load a model with a hub module. A hub module is a program, which may do
            anything, so its maker has to be trusted.

    Returns:
        A `keras.Model` from items ``[batch, size, size, 3]`` float32, RGB, 0…255, to
        probabilities ``[batch, classes]`` float32, 0…1.

    Raises:
        InputError: There is no such file, it is broken, or it holds a program and is not trusted.

    Example:
        # "runs/birds" is the folder of a run of the preset "birds".
        model = tfxfer.load_model("runs/birds")
        probabilities = model.predict(np.zeros((1, 96, 96, 3), np.float32))  # [1, 12]
    """
    runtime.import_tensorflow()
    import keras

    # Keras knows these layers by name once their modules are imported.
    from tfxfer.backbones import flat_network, hub_layer  # noqa: F401

    place = Path(path)
    file = place / run.MODEL if place.is_dir() else place
    if not file.is_file() or not zipfile.is_zipfile(file):
        raise InputError(
            f"A model is a run's folder or a .keras file. Received: {str(path)!r}, where there is "
            "none. Check the path."
        )
    try:
        return keras.models.load_model(file, compile=False, safe_mode=not trust)
    except Exception as error:  # Keras wraps errors of its layers in errors of several types.
        if not trust and "safe_mode=False" in str(error):
            raise InputError(
                "A model with a hub module holds a program, and is loaded where its maker is "
                f"trusted alone. Received: {str(file)!r}, trust=False. If you trust it: "
                "tfxfer.load_model(path, trust=True)."
            ) from error
        raise InputError(
            f"A .keras file must hold a whole model of this version's layers. Received: "
            f"{str(file)!r} ({first_line(error)}). Install what it was made with (config.toml and "
            "metrics.json beside it say), or train it again."
        ) from error


def check_same_classes(folder: Path, classes: Sequence[str]) -> None:
    """Refuse items whose classes differ from a run's or have another order.

    Raises:
        InputError: The classes differ.
    """
    listed = run.read_classes(folder) or ()
    if listed != tuple(classes):
        raise InputError(
            f"The pictures must be of the run's classes: {', '.join(listed[:20])}. Received: "
            f"{', '.join(classes[:20])}. Name the run's own pictures."
        )
