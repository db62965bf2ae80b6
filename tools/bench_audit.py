"""Measure the audit's speed and its memory, and whether it finds planted leaks.

    python tools/bench_audit.py speed --data FOLDER      # against decoding alone
    python tools/bench_audit.py memory --data FOLDER     # with 1,000 and 50,000 files
    python tools/bench_audit.py leaks --data FOLDER      # FOLDER holds train/ and test/

`leaks` copies ten test pictures into train/, and saves ten more there at lower quality and size, in
a folder of links.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import tempfile
import time
from pathlib import Path

import tables
from PIL import Image

from tfxfer.kinds import MODALITIES, TASKS
from tfxfer.machine import runtime

_MEMORY_COUNTS = (1_000, 50_000)
_PLANTED = 10


def audit(paths_by_split: dict[str, list[str]]):
    """Audit files of one class without storing anything for later audits."""
    import numpy as np

    from tfxfer.data.audit import audit_listing
    from tfxfer.data.items import FileSet
    from tfxfer.data.listing import Listing

    listed = {
        name: FileSet(tuple(paths), TASKS["classes"].read(np.zeros(len(paths), np.int64)))
        for name, paths in paths_by_split.items()
    }
    listing = Listing("", ("all",), TASKS["classes"], listed, MODALITIES["pictures"])
    return audit_listing(listing)


def measure_speed(data: Path) -> list[str]:
    """Time an audit, and the decoding of the same files at full size by tf.data, as in training."""
    runtime.import_tensorflow()
    import numpy as np
    import tensorflow as tf

    from tfxfer.data.items import PARALLEL_CALLS, FileSet, untuned
    from tfxfer.modalities.pictures.decode import decode_picture

    def decode(encoded, _):
        return tf.shape(decode_picture(encoded))

    def read(paths: list[str]) -> None:
        encoded = FileSet(
            tuple(paths), TASKS["classes"].read(np.zeros(len(paths), np.int64))
        ).encoded()
        sizes = encoded.map(decode, num_parallel_calls=PARALLEL_CALLS).ignore_errors()
        for _ in untuned(sizes):
            pass

    paths = sorted(str(path) for path in data.rglob("*") if path.is_file())
    audit({"train": paths[:50]})
    read(paths[:50])
    begun = time.monotonic()
    read(paths)
    decoded = time.monotonic()
    audit({"train": paths})
    audited = time.monotonic() - decoded
    decoding = decoded - begun
    print(f"{len(paths):,} files; pictures a second: audit {len(paths) / audited:,.0f}, "
          f"decoding alone {len(paths) / decoding:,.0f}")  # fmt: skip
    times = f"{audited / decoding:.2f} times"
    print(f"the audit takes {times} as long as decoding")
    rate = f"{len(paths) / audited:,.0f} pictures a second"
    return ["speed", f"{rate}, {times} the time of decoding them alone"]


def _audit_links(paths: list[str], count: int, results) -> None:
    runtime.import_tensorflow()
    audit({"train": paths[:50]})
    started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        links = []
        for number in range(count):
            link = Path(folder) / f"{number:06d}.jpg"
            link.symlink_to(paths[number % len(paths)])
            links.append(str(link))
        begun = time.monotonic()
        audit({"train": links})
        results.put(
            (started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic() - begun)
        )


def measure_memory(data: Path) -> list[str]:
    """Print the peak memory of processes that audit few and many files."""
    paths = sorted(str(path.resolve()) for path in data.rglob("*.jpg"))
    context = multiprocessing.get_context("spawn")
    peaks = []
    for count in _MEMORY_COUNTS:
        results = context.Queue()
        process = context.Process(target=_audit_links, args=(paths, count, results))
        process.start()
        started, peak, seconds = results.get()
        process.join()
        print(f"{count:,} files: peak {peak / 1024:.0f} MiB, of which {started / 1024:.0f} before "
              f"the first one; {seconds:.0f} s", flush=True)  # fmt: skip
        peaks.append(f"{peak / 1024:.0f}")
    counts = " and ".join(f"{count:,}" for count in _MEMORY_COUNTS)
    peak_memory = f"{' and '.join(peaks)} MiB, of which TensorFlow is {started / 1024:.0f}"
    return [f"peak memory with {counts} files", peak_memory]


def measure_leaks(data: Path) -> list[str]:
    """Print how many planted copies are found, and how many leaks there are without them."""
    runtime.import_tensorflow()
    train = sorted(str(path) for path in (data / "train").rglob("*") if path.is_file())
    test = sorted(str(path) for path in (data / "test").rglob("*") if path.is_file())
    clean = audit({"train": train, "test": test})
    files = {row for group in clean.copies for row in group.rows}
    print(f"as it is: {len(files)} of {len(train) + len(test):,} files are in groups of copies:")
    for group in clean.copies:
        print("  " + ", ".join(clean.looks[row].path for row in group.rows))
    chosen = random.Random(0).sample(test, 2 * _PLANTED)
    with tempfile.TemporaryDirectory() as folder:
        planted = []
        for number, path in enumerate(chosen):
            planted.append(str(Path(folder) / f"{number}.jpg"))
            if number < _PLANTED:
                Path(planted[-1]).write_bytes(Path(path).read_bytes())
                continue
            generator = random.Random(number)
            with Image.open(path) as picture:
                scale = generator.uniform(0.4, 0.8)
                size = (round(picture.width * scale), round(picture.height * scale))
                again = picture.convert("RGB").resize(size)
            again.save(planted[-1], quality=generator.randint(60, 90))
        found = audit({"train": [*train, *planted], "test": test})
    leaking = {found.looks[row].path for row in found.leaks}
    count = len(leaking & set(planted))
    print(f"planted: {count} of {len(planted)} found")
    said = f"{count} found; {len(files)} of {len(train) + len(test):,} other files are flagged"
    return [f"{len(planted)} test pictures planted in train, {_PLANTED} of them saved again at "
            "0.4–0.8 of the size", said]  # fmt: skip


def main() -> None:
    measures = {"speed": measure_speed, "memory": measure_memory, "leaks": measure_leaks}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="+", choices=measures)
    parser.add_argument("--data", required=True, type=Path)
    tables.add_write(parser, "audit")
    arguments = parser.parse_args()
    rows = [measures[what](arguments.data) for what in arguments.what]
    tables.write(arguments.write, "audit", [["audit", ""], *rows])


if __name__ == "__main__":
    main()
