"""A few items of each modality, written as a user would have them, with planted faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from support.small import COLOURS, draw_picture


@dataclass(frozen=True)
class Examples:
    """How items of one modality are written for the conformance tests.

    Attributes:
        write: writes one good item of a class, drawn by a seed, to a path without its ending, and
            returns the file.
        copy: writes the item of a file once more, as people save things again.
        classes: the names of the classes.
        faults: bytes of files that hold no item, by what is wrong with them.
        odd: writes an item that can be used though one of the row's oddities is true of it.
        network: settings of a small network that reads such items, whose weights are given.
    """

    write: Callable[[str, int, Path], Path]
    copy: Callable[[Path, Path], Path]
    classes: tuple[str, ...]
    faults: dict[str, bytes]
    odd: Callable[[Path], tuple[Path, str]]
    network: dict[str, object]


def _write_picture(name: str, seed: int, place: Path) -> Path:
    """Blots in shades of the class's colour: unlike noise, they tell copies from others."""
    place.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng([list(COLOURS).index(name), seed])
    blots = np.array(COLOURS[name]) + generator.normal(0, 60, (6, 6, 3))
    small = Image.fromarray(blots.clip(0, 255).astype(np.uint8))
    file = place.with_suffix(".jpg")
    small.resize((56, 48), Image.Resampling.BICUBIC).save(file, quality=95)
    return file


def _save_picture_again(file: Path, place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    copy = place.with_suffix(".png")
    with Image.open(file) as picture:
        picture.save(copy)
    return copy


def _write_grey_picture(place: Path) -> tuple[Path, str]:
    place.parent.mkdir(parents=True, exist_ok=True)
    file = place.with_suffix(".png")
    draw_picture("blue", 5).convert("L").save(file)
    return file, "grey"


EXAMPLES = {
    "pictures": Examples(
        write=_write_picture,
        copy=_save_picture_again,
        classes=tuple(COLOURS),
        faults={"empty": b"", "text": b"no picture", "cut off": b"\xff\xd8\xff\xe0" + bytes(40)},
        odd=_write_grey_picture,
        network={
            "backbone.name": "TinyNet",
            "backbone.image_size_px": 32,
        },
    ),
}


def _number_classes(count: int, class_count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64) % class_count


def _mark_classes(count: int, class_count: int) -> np.ndarray:
    """None, one or two labels an item, each class among them."""
    rows = np.zeros((count, class_count), np.int8)
    for item in range(count):
        rows[item, : item % 3] = 1
        rows[item] = np.roll(rows[item], item % class_count)
    return rows


# How labels are listed by a source, by the name of the task: ``[items, …]``.
LABELS: dict[str, Callable[[int, int], np.ndarray]] = {
    "classes": _number_classes,
    "several": _mark_classes,
}
