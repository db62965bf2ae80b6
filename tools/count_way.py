"""Count the modules of tfxfer that one picture passes in training, from the listing on.

    python tools/count_way.py                     # the way, in order, and what enters each module
    python tools/count_way.py --write way counts  # into docs/how-it-works.md
    python tools/count_way.py --package DIR --label "an earlier version" --write counts

A small run of the preset `birds` trains one phase after the other under `sys.setprofile`. The way
begins when the source's listing is there and ends with the first prediction of the trained model.

A module is on the way if one of its functions is handed the picture in one of its forms, or gives
it back: a set of items, a data set, an encoded or decoded array, a batch, features, or
probabilities. What plans, prints, names or keeps things without the picture stands beside the way;
those modules are only counted. A module is entered when such a function is called from another
module of tfxfer; a loop that enters it again from the same module does not count again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import tables
import tensorflow as tf

SETTINGS = {
    "features.engine": "tensorflow",
    "phases.fine-tune.epochs": 1,
    "phases.fine-tune.precision": "float32",
    "calibrate": False,
}
# A class that has these is a set of items, in any version of the package.
ITEM_SET = ("encoded", "labels", "choose")


class Way:
    """Notes which modules of a package a picture enters, in which order and from which others.

    Args:
        package: The folder of the package.
    """

    def __init__(self, package: Path):
        self._package = f"{package}/"
        self.entered_from: dict[str, set[str]] = defaultdict(set)
        self.ran: set[str] = set()
        self.is_on = self.is_over = False

    def profile(self, frame: FrameType, event: str, given: Any) -> None:
        """Look at one event of `sys.setprofile`."""
        if event not in ("call", "return") or self.is_over:
            return
        module, name = self._name(frame), frame.f_code.co_name
        if module is None:
            return
        if event == "return" and name in ("list_items", "list_pictures") and "sources" in module:
            self.is_on = True
        elif name == "judge":
            self.is_over = self.is_on
        elif self.is_on and name != "<module>":
            self.ran.add(module)
            if _is_handed(frame) if event == "call" else _is_picture(given):
                self._enter(module, frame)

    def _name(self, frame: FrameType) -> str | None:
        file = frame.f_code.co_filename
        return file.removeprefix(self._package) if file.startswith(self._package) else None

    def _enter(self, module: str, frame: FrameType) -> None:
        caller = frame.f_back
        while caller is not None and self._name(caller) is None:
            if "/optimizers/" in caller.f_code.co_filename:
                return  # What Keras hands to an optimizer are gradients.
            caller = caller.f_back
        before = self._name(caller) if caller else None
        if before and before != module:
            self.entered_from[module].add(before)


def _is_handed(frame: FrameType) -> bool:
    """Tell whether a call is handed the picture; what a method belongs to does not count."""
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return any(
        _is_picture(value)
        for name, value in frame.f_locals.items()
        if name in names and name != "self"
    )


def _is_picture(value: Any, depth: int = 0) -> bool:
    """Tell whether a value is the picture in one of its forms, or a few of them together.

    Whole numbers are positions and labels, and do not count unless they are bytes of pixels.
    """
    if isinstance(value, np.ndarray):
        return value.ndim > 0 and (value.dtype.kind in "fSO" or value.dtype == np.uint8)
    if isinstance(value, tf.Tensor):
        return value.dtype in (tf.string, tf.uint8) or value.dtype.is_floating
    if isinstance(value, list | tuple) and depth < 2:
        return any(_is_picture(each, depth + 1) for each in value[:4])
    kind = type(value)
    has = {*dir(kind), *getattr(kind, "__dataclass_fields__", ())}
    return (
        isinstance(value, tf.data.Dataset) or kind.__name__ == "Table" or has.issuperset(ITEM_SET)
    )


def follow(package: Path) -> Way:
    """Follow the pictures of a small run."""
    sys.path.insert(0, str(package.resolve()))
    import tfxfer

    way = Way(Path(tfxfer.__file__).parent)
    with tempfile.TemporaryDirectory() as folder:
        settings = {**SETTINGS, "features.cache_dir": f"{folder}/cache"}
        sys.setprofile(way.profile)
        try:
            tfxfer.train("birds", settings=settings, out=f"{folder}/run", quiet=True)
        finally:
            sys.setprofile(None)
    return way


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--package", type=Path, default=tables.ROOT, metavar="DIR")
    parser.add_argument("--label", default="this version")
    tables.add_write(parser, "way", "counts")
    arguments = parser.parse_args()
    way = follow(arguments.package)
    rows = [[f"`{name}`", ", ".join(f"`{each}`" for each in sorted(others))]
            for name, others in way.entered_from.items()]  # fmt: skip
    most = max(map(len, way.entered_from.values()))
    for module, others in way.entered_from.items():
        print(f"{module:44} {len(others):2}  {', '.join(sorted(others))}")
    print(
        f"{len(rows)} modules are handed the picture, none from more than {most} others; "
        f"{len(way.ran)} modules run"
    )
    table = [["module, in order", "is handed it by"], *rows]
    tables.write(arguments.write, "way", table, is_whole=True)
    header = ["", "modules that are handed the picture", "by at most", "modules that run"]
    counts = [arguments.label, str(len(rows)), f"{most} others", str(len(way.ran))]
    tables.write(arguments.write, "counts", [header, counts])


if __name__ == "__main__":
    main()
