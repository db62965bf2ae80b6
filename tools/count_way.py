"""Count the modules of tfxfer that one picture passes in training, from the listing on.

    python tools/count_way.py                # the way, in order, and what enters each module
    python tools/count_way.py --package DIR  # of another checkout, such as an earlier version

A small run of the preset `birds` trains one phase after the other under `sys.setprofile`. The way
begins when the source's listing is there and ends with the first prediction of the trained model.
A module is entered when one of its functions is called from another module of tfxfer; how often a
loop does so does not count, only from how many modules.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

SETTINGS = {
    "features.engine": "tensorflow",
    "phases.fine-tune.epochs": 1,
    "phases.fine-tune.precision": "float32",
    "calibrate": False,
}


class Way:
    """Notes which modules of a package are entered, in which order and from which others.

    Args:
        package: the folder of the package.
    """

    def __init__(self, package: Path):
        self._package = f"{package}/"
        self.order: list[str] = []
        self.entered_from: dict[str, set[str]] = defaultdict(set)
        self.is_on = self.is_over = False

    def _name(self, frame: FrameType) -> str | None:
        file = frame.f_code.co_filename
        return file.removeprefix(self._package) if file.startswith(self._package) else None

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """Look at one event of `sys.setprofile`."""
        if event not in ("call", "return") or self.is_over:
            return
        module = self._name(frame)
        if module is None:
            return
        name = frame.f_code.co_name
        if event == "return":
            # The listing of the source is there: what a picture passes from here on is its way.
            self.is_on |= name in ("list_items", "list_pictures") and "sources" in module
            return
        if name == "judge":
            self.is_over = self.is_on
        if not self.is_on or name == "<module>":
            return
        caller = frame.f_back
        while caller is not None and self._name(caller) is None:
            caller = caller.f_back
        before = self._name(caller) if caller else None
        if before != module:
            if module not in self.order:
                self.order.append(module)
            self.entered_from[module].add(before or "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--package", type=Path, default=Path(__file__).parent.parent)
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.package.resolve()))
    import tfxfer

    way = Way(Path(tfxfer.__file__).parent)
    with tempfile.TemporaryDirectory() as folder:
        settings = {**SETTINGS, "features.cache_dir": f"{folder}/cache"}
        sys.setprofile(way.profile)
        try:
            tfxfer.train("birds", settings=settings, out=f"{folder}/run", quiet=True)
        finally:
            sys.setprofile(None)
    for module in way.order:
        others = sorted(way.entered_from[module])
        print(f"{module:44} {len(others):2}  {', '.join(others)}")
    most = max(map(len, way.entered_from.values()))
    print(f"{len(way.order)} modules; the most entered one is entered from {most} others")


if __name__ == "__main__":
    main()
