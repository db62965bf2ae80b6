"""The rendering of many pictures on all cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import tfxfer
from tfxfer.modalities.pictures.fieldguide.render import render_jpeg
from tfxfer.modalities.pictures.fieldguide.species import SOURCE_SPECIES, TARGET_SPECIES
from tfxfer.modalities.pictures.fieldguide.traits import Species

GROUPS: dict[str, tuple[Species, ...]] = {"target": TARGET_SPECIES, "source": SOURCE_SPECIES}
_LENGTH_BYTES = 4
_FEWEST = 64  # For fewer pictures, starting another process takes longer than it saves.

# An order holds the group, the number of the species in it, and the picture's seed.
Order = tuple[str, int, list[int]]


def render_all(orders: Sequence[Order], size_px: int) -> list[bytes]:
    """Render pictures as JPEG, in the order in which they are asked for.

    This uses plain processes and not `multiprocessing`, which runs the caller's script once more
    in each process and so breaks scripts without a main guard.
    """
    count = min(os.cpu_count() or 1, len(orders) // _FEWEST)
    if count < 2 or not sys.executable:
        return [_render(order, size_px) for order in orders]
    shares = [orders[first::count] for first in range(count)]
    with ThreadPoolExecutor(count) as pool:
        rendered = list(pool.map(_render_elsewhere, shares, [size_px] * count))
    return [rendered[index % count][index // count] for index in range(len(orders))]


def _render(order: Order, size_px: int) -> bytes:
    group, species, seed = order
    return render_jpeg(GROUPS[group][species], np.random.default_rng(seed), size_px)


def _render_elsewhere(orders: Sequence[Order], size_px: int) -> list[bytes]:
    """Render in another process or, if that fails, in this one."""
    package = str(Path(tfxfer.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "tfxfer.modalities.pictures.fieldguide.parallel", str(size_px)],
        input=json.dumps(orders).encode(),
        capture_output=True,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
    )
    pictures, position = [], 0
    while position < len(done.stdout):
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(done.stdout[position:start], "little")
        pictures.append(done.stdout[start:position])
    if done.returncode != 0 or len(pictures) != len(orders):
        return [_render(order, size_px) for order in orders]
    return pictures


if __name__ == "__main__":
    for wanted in json.loads(sys.stdin.buffer.read()):
        picture = _render(wanted, int(sys.argv[1]))
        sys.stdout.buffer.write(len(picture).to_bytes(_LENGTH_BYTES, "little") + picture)
