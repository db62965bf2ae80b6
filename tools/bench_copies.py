"""Measure how copies are found, and choose the limits of `modalities/pictures/copies.py`.

    python tools/bench_copies.py limits --data FOLDER [FOLDER …]  # pictures saved again, others
    python tools/bench_copies.py speed [--count 50000]             # time and memory

`limits` saves pictures again in many ways. It prints how far apart the audit's thumbnails of a
picture and of its copy are, which copies are found, and the nearest pairs of distinct pictures.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tfxfer.kinds import TASKS
from tfxfer.machine import runtime
from tfxfer.modalities.pictures.copies import (
    find_copies,
    hash_pictures,
    lay_over,
    measure_contrasts,
)

_SAMPLE = 500
_NEAREST = 5
_BITS = 12  # Pairs of distinct pictures are compared up to this distance of their hashes.


def scale(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize((round(picture.width * factor), round(picture.height * factor)))


def crop(picture: Image.Image, share: float, chance: random.Random) -> Image.Image:
    """Remove a share of the width and of the height at a random place."""
    width, height = round(picture.width * (1 - share)), round(picture.height * (1 - share))
    left = chance.randint(0, picture.width - width)
    top = chance.randint(0, picture.height - height)
    return picture.crop((left, top, left + width, top + height))


# Each way has a name, a function that changes the picture, an ending, and a quality.
WAYS = {
    "JPEG, quality 60": (lambda p, _: p, ".jpg", 60),
    "JPEG, quality 30": (lambda p, _: p, ".jpg", 30),
    "JPEG, quality 10": (lambda p, _: p, ".jpg", 10),
    "0.4–0.8 of the size": (lambda p, chance: scale(p, chance.uniform(0.4, 0.8)), ".jpg", 75),
    "a quarter of the size": (lambda p, _: scale(p, 0.25), ".jpg", 75),
    "an eighth of the size": (lambda p, _: scale(p, 0.125), ".jpg", 75),
    "twice the size": (lambda p, _: scale(p, 2), ".jpg", 75),
    "224 × 224": (lambda p, _: p.resize((224, 224)), ".jpg", 75),
    "WebP, quality 60": (lambda p, _: p, ".webp", 60),
    "PNG of half the size": (lambda p, _: scale(p, 0.5), ".png", 90),
    "mirrored": (lambda p, _: ImageOps.mirror(p), ".jpg", 75),
    "1 % cropped": (lambda p, chance: crop(p, 0.01, chance), ".jpg", 75),
    "2 % cropped": (lambda p, chance: crop(p, 0.02, chance), ".jpg", 75),
    "5 % cropped": (lambda p, chance: crop(p, 0.05, chance), ".jpg", 75),
}


def see(paths: list[str]):
    """Return what the audit sees in usable files: paths, digests, thumbnails and sizes."""
    from tfxfer.data.items import FileSet
    from tfxfer.modalities.pictures.look import look_at_pictures, stack_thumbnails

    files = FileSet(tuple(paths), TASKS["classes"].read(np.zeros(len(paths), np.int64)))
    looks = [look for look in look_at_pictures(files) if not look.fault]
    sizes = np.array([(look.height_px, look.width_px) for look in looks])
    digests = [look.digest for look in looks]
    return [look.path for look in looks], digests, stack_thumbnails(looks), sizes


def save_again(paths: list[str], way: str, folder: Path) -> list[str]:
    change, ending, quality = WAYS[way]
    saved = []
    for number, path in enumerate(paths):
        saved.append(str(folder / f"{number}{ending}"))
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
        change(upright, random.Random(number)).save(saved[-1], quality=quality)
    return saved


def compare(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the bits, residuals, and residuals over contrast of pairs of thumbnails."""
    bits = np.bitwise_count(hash_pictures(first) ^ hash_pictures(second))
    residuals = np.concatenate(
        [lay_over(a, b[None])[0] for a, b in zip(first, second, strict=True)]
    )
    return bits, residuals, residuals / measure_contrasts(first)


def measure_limits(folders: list[Path]) -> None:
    runtime.import_tensorflow()
    paths = sorted(str(p) for folder in folders for p in folder.rglob("*") if p.is_file())
    paths, digests, thumbnails, sizes = see(paths)
    rows = random.Random(0).sample(range(len(paths)), min(_SAMPLE, len(paths)))
    print(f"{len(paths):,} pictures, {len(rows)} of them saved again; 99 % and the largest of each")
    print(f"{'':24}{'found':>6}{'bits':>12}{'residual':>14}{'of contrast':>16}")
    for way in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            _, more, again, again_sizes = see(
                save_again([paths[row] for row in rows], way, Path(folder))
            )
        groups = find_copies(
            digests + more,
            np.concatenate([thumbnails, again]),
            np.concatenate([sizes, again_sizes]),
        )
        pairs = {(a, b) for group in groups for a in group.rows for b in group.rows}
        found = sum((row, len(paths) + place) in pairs for place, row in enumerate(rows))
        again = again[:, :, ::-1] if way == "mirrored" else again
        measured = compare(thumbnails[rows], again)
        figures = [(np.percentile(values, 99), values.max()) for values in measured]
        print(f"{way:24}{found:6}"
              + f"{figures[0][0]:8.0f}{figures[0][1]:4.0f}{figures[1][0]:9.1f}{figures[1][1]:5.1f}"
              + f"{figures[2][0]:10.2f}{figures[2][1]:6.2f}", flush=True)  # fmt: skip
    print_nearest(paths, digests, thumbnails, sizes)


def print_nearest(paths, digests, thumbnails, sizes) -> None:
    """Print the copies among the pictures, and the nearest pairs that are no copies."""
    copies = find_copies(digests, thumbnails, sizes)
    for group in copies:
        print("copies: " + ", ".join(paths[row] for row in group.rows))
    together = {(a, b) for group in copies for a in group.rows for b in group.rows}
    contrasts, found = measure_contrasts(thumbnails), []
    hashes = hash_pictures(thumbnails)
    for turned in (False, True):
        others = hash_pictures(thumbnails, turned)
        seen = thumbnails[:, :, ::-1] if turned else thumbnails
        for row in range(len(paths) - 1):
            bits = np.bitwise_count(hashes[row] ^ others[row + 1 :])
            near = np.flatnonzero(bits <= _BITS)
            if not len(near):
                continue
            residuals, _ = lay_over(thumbnails[row], seen[row + 1 + near])
            found += [
                (residual, residual / contrasts[row], bits[place], row, row + 1 + place)
                for residual, place in zip(residuals, near, strict=True)
                if (row, row + 1 + place) not in together
            ]
    print(f"{len(found):,} other pairs differ by at most {_BITS} bits; the nearest:")
    for residual, share, bits, row, other in sorted(found)[:_NEAREST]:
        print(f"  residual {residual:.1f}, {share:.2f} of the contrast, {bits} bits: "
              f"{paths[row]}, {paths[other]}")  # fmt: skip


def measure_speed(count: int) -> None:
    """Time the search in random thumbnails, as smooth as photographs', with one copy in ten."""
    generator = np.random.default_rng(0)
    thumbnails = np.empty((count, 16, 16, 3), np.uint8)
    for row in range(count):
        blots = generator.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        smooth = Image.fromarray(blots).resize((16, 16), Image.Resampling.BICUBIC)
        thumbnails[row] = np.asarray(smooth)
        if row % 10 == 9:
            noise = generator.integers(-2, 3, (16, 16, 3))
            thumbnails[row] = np.clip(thumbnails[row - 9] + noise, 0, 255)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.monotonic()
    copies = find_copies(list(map(str, range(count))), thumbnails, np.full((count, 2), 400))
    seconds = time.monotonic() - begun
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{count:,} pictures: {len(copies):,} of {count // 10:,} pairs in {seconds:.1f} s; "
          f"{more / 1024:.0f} MiB more than the thumbnails' process had")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("limits", "speed"))
    parser.add_argument("--data", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--count", type=int, default=50_000)
    arguments = parser.parse_args()
    if arguments.what == "speed":
        measure_speed(arguments.count)
    elif not arguments.data:
        parser.error("limits needs --data FOLDER, with pictures in it")
    else:
        measure_limits(arguments.data)


if __name__ == "__main__":
    main()
