"""Pictures that are copies of one another: the same bytes, or the same picture saved again.

A perceptual hash proposes pairs. Its bits say which of the lowest frequencies of a cosine
transform lie above their median (Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions", 2010). The thumbnails then confirm a pair: one is laid over the other, moved and scaled
a little (one step of Lucas and Kanade, "An Iterative Image Registration Technique", 1981), and the
remaining difference must be small. This module imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.fft import dctn

from tfxfer.modalities.pictures.oddities import THUMBNAIL_PX
from tfxfer.records.audits import Copies

_FREQUENCIES = 8
# So many rows are hashed at a time, and so many pairs compared at a time.
_CHUNK = 1024
_PAIRS = 64

# The limits were chosen on 4,978 photographs (clothing, birds10, hymenoptera), of which 500 were
# saved again. The table, printed by `tools/bench_copies.py limits`, shows what 99 % of the copies
# stay within. A residual is a root mean square in grey levels, 0…255; the next column is its share
# of the picture's contrast.
#
#                                      bits   residual   share   found
#   JPEG, quality 10                      4        4.2    0.26     489
#   JPEG, quality 30                      2        1.5    0.09     500
#   0.4–0.8 of the size                   6        2.5    0.07     500
#   a quarter of the size                 4        3.2    0.12     499
#   an eighth of the size                 4        7.0    0.20     448
#   WebP, quality 60                      4        2.3    0.06     500
#   mirrored                              4        2.7    0.07     500
#   2 % cropped                          10        5.5    0.13     489
#   5 % cropped                          18       14.4    0.31    <134
#   the nearest distinct photographs      6       10.1    0.17
#   the nearest of 1,797 digits, 8 px    10        7.0    0.07
_MAX_BITS = 10
_MAX_RESIDUAL = 5.0
_MAX_RESIDUAL_SHARE = 0.2
# A picture's edge may be moved so far, in pixels of the thumbnail; a 5 % crop moves it up to 1.3.
_MAX_SHIFT_PX = 1.25
# Pictures with less contrast are noise and all look alike; no photograph above has less than 8.
_MIN_CONTRAST = 4.0
# Copies may have been squashed to squares, which changes the ratio of the sides no more than this.
_MAX_ASPECT_CHANGE = 4.0

_GREY = np.array([0.299, 0.587, 0.114], np.float32)
_INSIDE = slice(1, THUMBNAIL_PX - 1)  # The border is left out, because a crop changes it.
_PLACES = np.linspace(-1, 1, THUMBNAIL_PX, dtype=np.float32)


def find_copies(
    digests: Sequence[str],
    thumbnails: np.ndarray,
    sizes: np.ndarray,
    mirrored: bool = True,
) -> tuple[Copies, ...]:
    """Group the pictures that are copies of one another.

    Every pair of copies is together in some group. Chains are not joined: a picture that is a copy
    of two others which are no copies of one another, such as a frame of a film, is in two groups.
    So a group holds only copies of its first picture. Nearly constant pictures are copies only if
    their bytes are the same.

    Args:
        digests: The digest of each file's bytes.
        thumbnails: ``[pictures, 16, 16, 3]`` uint8: whole pictures, upright, resized with
            antialiasing.
        sizes: ``[pictures, 2]``, the height and width in pixels.
        mirrored: Whether mirror images are copies. They are not if left and right matter.

    Returns:
        Groups of at least two pictures, in the order of their first rows.
    """
    same_bytes: dict[str, list[int]] = {}
    for row, digest in enumerate(digests):
        same_bytes.setdefault(digest, []).append(row)
    firsts = np.array([rows[0] for rows in same_bytes.values()], np.int64)
    groups = _find_stars(thumbnails, np.asarray(sizes, np.float64), firsts, mirrored)
    starred = {row for group in groups for row in group}
    found = [
        Copies(tuple(sorted(twin for row in group for twin in same_bytes[digests[row]])), False)
        for group in groups
    ]
    found += [
        Copies(tuple(rows), True)
        for rows in same_bytes.values()
        if len(rows) > 1 and rows[0] not in starred
    ]
    return tuple(sorted(found, key=lambda group: group.rows))


def _find_stars(
    thumbnails: np.ndarray, sizes: np.ndarray, rows: np.ndarray, mirrored: bool
) -> list[list[int]]:
    """Give groups of a first row and its copies, so that each pair of copies is in one of them."""
    rows = rows[measure_contrasts(thumbnails[rows]) >= _MIN_CONTRAST]
    turns = (False, True) if mirrored else (False,)
    hashes = {turned: hash_pictures(thumbnails[rows], turned) for turned in turns}
    aspects = np.log(sizes[rows, 0] / sizes[rows, 1])
    # This is the first group of each picture: pairs within a group need no second comparison.
    home = np.full(len(rows), -1)
    groups: list[list[int]] = []
    for place, row in enumerate(rows):
        others: set[int] = set()
        for turned in turns:
            distances = np.bitwise_count(hashes[False][place + 1 :] ^ hashes[turned][place])
            near = np.flatnonzero(distances <= _MAX_BITS)
            if not len(near):
                continue
            near = near[np.argsort(distances[near], kind="stable")] + place + 1
            is_open = (home[near] != home[place]) | (home[near] == -1)
            is_open &= np.abs(aspects[near] - aspects[place]) <= np.log(_MAX_ASPECT_CHANGE)
            first = thumbnails[row, :, ::-1] if turned else thumbnails[row]
            others |= set(_confirm(first, thumbnails, rows, near[is_open]))
        if others:
            members = np.array([place, *sorted(others)])
            home[members] = np.where(home[members] == -1, len(groups), home[members])
            groups.append(rows[members].tolist())
    return groups


def _confirm(
    first: np.ndarray, thumbnails: np.ndarray, rows: np.ndarray, near: np.ndarray
) -> Iterator[int]:
    """Give the places that hold a copy of `first`; the nearest by their hashes come first.

    If very many are near, as with a fixed camera, the search ends at the first chunk without one.
    """
    for start in range(0, len(near), _PAIRS):
        places = near[start : start + _PAIRS]
        is_copy = _are_copies(first, thumbnails[rows[places]])
        yield from places[is_copy].tolist()
        if not is_copy.any():
            return


def _are_copies(first: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which pictures are the first one, moved and scaled a little: ``[pictures]`` bool."""
    residuals, shifts = lay_over(first, others)
    limit = min(_MAX_RESIDUAL, _MAX_RESIDUAL_SHARE * measure_contrasts(first[None])[0])
    return (residuals <= limit) & (shifts <= _MAX_SHIFT_PX)


def lay_over(first: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move and scale a picture so that it matches each of the others as well as possible.

    Args:
        first: ``[16, 16, 3]`` uint8.
        others: ``[pictures, 16, 16, 3]`` uint8.

    Returns:
        Two arrays ``[pictures]`` float32: the root mean square of the remaining difference,
        0…255, and how far the picture's edge was moved, in pixels.
    """
    first = first.astype(np.float32)
    down, right = np.gradient(first, axis=(0, 1))
    changes = np.stack([down, down * _PLACES[:, None, None], right, right * _PLACES[:, None]])
    changes = changes[:, _INSIDE, _INSIDE].reshape(4, -1)
    differences = (others[:, _INSIDE, _INSIDE] - first[_INSIDE, _INSIDE]).reshape(len(others), -1)
    # In a picture of stripes, any move along them fits: the added diagonal takes the smallest one.
    squares = changes @ changes.T + np.eye(4, dtype=np.float32)
    moves = np.linalg.solve(squares, changes @ differences.T).T
    residuals = np.sqrt(np.mean((differences - moves @ changes) ** 2, axis=1))
    return residuals, np.abs(moves).reshape(-1, 2, 2).sum(axis=2).max(axis=1)


def measure_contrasts(pictures: np.ndarray) -> np.ndarray:
    """Return each picture's contrast: the root mean square of its deviation from its mean colour.

    Args:
        pictures: ``[pictures, 16, 16, 3]`` uint8.

    Returns:
        ``[pictures]`` float32, 0…255.
    """
    found = np.empty(len(pictures), np.float32)
    for start in range(0, len(pictures), _CHUNK):
        inside = pictures[start : start + _CHUNK, _INSIDE, _INSIDE].astype(np.float32)
        found[start : start + _CHUNK] = np.sqrt(inside.var(axis=(1, 2)).mean(axis=1))
    return found


def hash_pictures(thumbnails: np.ndarray, turned: bool = False) -> np.ndarray:
    """Return perceptual hashes, ``[pictures]`` uint64, of pictures or of their mirror images."""
    found = np.empty(len(thumbnails), np.uint64)
    for start in range(0, len(thumbnails), _CHUNK):
        grey = thumbnails[start : start + _CHUNK].astype(np.float32) @ _GREY
        grey = grey[:, :, ::-1] if turned else grey
        waves = dctn(grey, axes=(1, 2))[:, :_FREQUENCIES, :_FREQUENCIES].reshape(len(grey), -1)
        bits = waves > np.median(waves[:, 1:], axis=1, keepdims=True)
        bits[:, 0] = False  # The lowest frequency is the brightness, which does not count.
        found[start : start + _CHUNK] = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return found
