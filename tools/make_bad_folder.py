"""Make a folder of generated pictures with many kinds of bad and odd files among them.

    python tools/make_bad_folder.py OUT

The folder has three classes of good pictures, and a file of each kind in `KINDS`, all of which
`tfxfer audit OUT` finds.
"""

from __future__ import annotations

import argparse
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = {"amber": (230, 150, 30), "blue": (40, 80, 200), "green": (50, 160, 60)}
GOOD_PICTURES = 12


def draw(name: str, seed: int, width: int = 56, height: int = 48) -> Image.Image:
    """Return a picture of the class's colour with soft stains that depend on the seed."""
    generator = np.random.default_rng(seed)
    stains = Image.fromarray(generator.integers(0, 120, (6, 7, 3)).astype(np.uint8))
    pixels = np.asarray(stains.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((np.array(CLASSES[name]) + pixels - 60).clip(0, 255).astype(np.uint8))


def encode(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _turned(picture: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(picture, "JPEG", quality=95, exif=exif)


def _bomb(picture: Image.Image) -> bytes:
    """Return a small PNG whose header announces 400 million pixels."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    start = encode(picture, "PNG")
    return (
        start[:8]
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + start[33:]
    )


def _frames(picture: Image.Image, kind: str) -> bytes:
    others = [picture.rotate(90), picture.rotate(180)]
    return encode(picture, kind, save_all=True, append_images=others)


def _damaged(picture: Image.Image) -> bytes:
    """Return a PNG with a wrong checksum of its pixels."""
    encoded = bytearray(encode(picture, "PNG"))
    place = encoded.index(b"IDAT") + 20
    encoded[place] ^= 0xFF
    return bytes(encoded)


def _sixteen(picture: Image.Image) -> bytes:
    return encode(Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257), "PNG")


def _transparent(picture: Image.Image) -> Image.Image:
    alpha = np.linspace(60, 255, picture.height * picture.width).reshape(picture.height, -1)
    result = picture.convert("RGBA")
    result.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return result


def _big(picture: Image.Image) -> bytes:
    return encode(picture.resize((8000, 5100)), "JPEG", quality=30)


# Each file name has a function that makes the file from a picture, and the finding of an audit: a
# part of the reason why the file cannot be used, or its oddities, which may be none.
KINDS: dict[str, tuple[Callable[[Image.Image], bytes], str | tuple[str, ...]]] = {
    "empty.jpg": (lambda p: b"", "empty file"),
    "cut.jpg": (lambda p: encode(p, "JPEG")[:400], "broken JPEG file"),
    "nearly whole.jpg": (lambda p: encode(p, "JPEG", quality=95)[:-60], "broken JPEG file"),
    "header only.jpg": (lambda p: encode(p, "JPEG")[:20], "broken JPEG file"),
    "cut.png": (lambda p: encode(p, "PNG")[:400], "broken PNG file"),
    "damaged.png": (_damaged, "broken PNG file"),
    "cut.webp": (lambda p: encode(p, "WEBP")[:60], "broken WebP file"),
    "cut.bmp": (lambda p: encode(p, "BMP")[:300], "broken BMP file"),
    "text.jpg": (lambda p: b"no picture at all", "not a picture"),
    "page.jpg": (lambda p: b"<!DOCTYPE html><html>404 Not Found</html>", "not a picture"),
    "zeros.jpg": (lambda p: bytes(2000), "not a picture"),
    "moving.gif": (lambda p: _frames(p, "GIF"), "a GIF file"),
    "gif.jpg": (lambda p: encode(p, "GIF"), "a GIF file"),
    "scan.tif": (lambda p: encode(p, "TIFF"), "a TIFF file"),
    "phone.heic": (lambda p: b"\0\0\0\x18ftypheic" + bytes(40), "a HEIC or AVIF file"),
    "moving.webp": (lambda p: _frames(p, "WEBP"), "an animated WebP file"),
    "palette.bmp": (lambda p: encode(p.quantize(16), "BMP"), "a BMP file with a palette"),
    "bomb.png": (_bomb, "of more than 178,956,970 pixels"),
    "png.jpg": (lambda p: encode(p, "PNG"), ("wrong ending",)),
    "jpeg.png": (lambda p: encode(p, "JPEG"), ("wrong ending",)),
    "cmyk.jpg": (lambda p: encode(p.convert("CMYK"), "JPEG"), ("cmyk",)),
    "grey.jpg": (lambda p: encode(p.convert("L"), "JPEG"), ("grey",)),
    "sixteen.png": (_sixteen, ("16 bit", "grey")),
    "clear.png": (lambda p: encode(_transparent(p), "PNG"), ("transparent",)),
    "clear.webp": (lambda p: encode(_transparent(p), "WEBP"), ("transparent",)),
    "palette.png": (lambda p: encode(p.quantize(64), "PNG"), ("palette",)),
    "moving.png": (lambda p: _frames(p, "PNG"), ("animated",)),
    "turned.jpg": (_turned, ("turned",)),
    "tiny.png": (lambda p: encode(p.resize((9, 8)), "PNG"), ("tiny",)),
    "narrow.jpg": (lambda p: encode(p.resize((300, 40)), "JPEG"), ("narrow",)),
    "black.jpg": (lambda p: encode(Image.new("RGB", (60, 50)), "JPEG"), ("constant",)),
    "big.jpg": (_big, ("gigantic",)),
    "profile.jpg": (lambda p: encode(p, "JPEG", icc_profile=b"no profile" * 30), ()),
    "picture.bmp": (lambda p: encode(p, "BMP"), ()),
    "ENDING.JPEG": (lambda p: encode(p, "JPEG"), ()),
    "progressive.jpg": (lambda p: encode(p, "JPEG", progressive=True), ()),
}


def make_bad_folder(folder: Path) -> dict[str, str | tuple[str, ...]]:
    """Write the pictures into class folders.

    Returns:
        The finding of an audit for each file of `KINDS`, by path.
    """
    for position, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(GOOD_PICTURES):
            picture = draw(name, 1000 * position + index)
            picture.save(folder / name / f"{index:03d}.jpg", quality=92)
    said = {}
    names = list(CLASSES)
    for position, (file, (make, expected)) in enumerate(KINDS.items()):
        name = names[position % len(names)]
        path = folder / name / file
        path.write_bytes(make(draw(name, 10_000 + position)))
        said[str(path)] = expected
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="a new folder")
    said = make_bad_folder(parser.parse_args().out)
    bad = sum(isinstance(expected, str) for expected in said.values())
    print(f"{bad} files that cannot be used, {len(said) - bad} that are odd or look so")


if __name__ == "__main__":
    main()
