"""Find pictures that are copies of one another: the same file, or the same picture saved again.

Imports no TensorFlow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.fft import dctn

from tfxfer.data.looks import Copies

# Low frequencies of a thumbnail by which candidates are proposed, each one bit.
_FREQUENCIES = 8
# Bits of 63 that may differ in a candidate.
_MOST_BITS = 12
# Root of the mean square of the differences of two thumbnails, over the deviation of their values.
# Of 600 photographs saved again at a quality of 60 to 90 and 0.4 to 0.8 times the size, 99 in 100
# are below 0.15 (clothing), 0.21 (birds) and 0.16 (insects); of 3,781 different pictures of
# clothing, three pairs are.
_MOST_DIFFERENCE = 0.2
# Logarithm of how much the sides' ratio may differ: a copy is resized, not squashed.
_MOST_STRETCH = 0.05
# Deviation of a thumbnail's values, 0…255, under which one picture looks like another: a blank
# page has no copies but itself.
_LEAST_DEVIATION = 6.0
# Pictures that are compared with all others at a time.
_CHUNK = 512


def find_copies(
    digests: Sequence[str], thumbnails: np.ndarray, sizes: np.ndarray
) -> tuple[Copies, ...]:
    """Find groups of pictures that are copies of one another.

    Files with the same bytes are copies. Others are where the signs of a thumbnail's lowest
    frequencies nearly agree (a perceptual hash: Zauner 2010, section 3.2.1) and then the thumbnails
    themselves. A group is a picture and what is a copy of it: copies of copies that have changed
    further are no copies.

    Args:
        digests: of each file's bytes.
        thumbnails: ``[pictures, 16, 16, 3]`` uint8, RGB, upright.
        sizes: ``[pictures, 2]``: upright height and width in pixels.

    Returns:
        Groups of two and more, by their first picture; none is in two groups.
    """
    firsts, same = _group_by_digest(digests)
    near: dict[int, list[int]] = defaultdict(list)
    for first, second in _find_near(thumbnails[firsts], sizes[firsts]):
        near[first].append(second)
        near[second].append(first)
    groups, taken = [], set()
    # Who has the most copies comes first: the original in a set of its copies.
    for place in sorted(range(len(firsts)), key=lambda place: (-len(near[place]), place)):
        members = [each for each in (place, *near[place]) if each not in taken]
        rows = sorted(row for each in members for row in same[firsts[each]])
        if place in taken or len(rows) < 2:
            continue
        taken.update(members)
        groups.append(Copies(tuple(rows), is_exact=len(members) == 1))
    return tuple(sorted(groups, key=lambda group: group.rows))


def _group_by_digest(digests: Sequence[str]) -> tuple[np.ndarray, dict[int, list[int]]]:
    """The first picture of each digest, and all of them by the first one."""
    first: dict[str, int] = {}
    same: dict[int, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        same[first.setdefault(digest, row)].append(row)
    return np.array(list(same), np.int64), same


def _find_near(thumbnails: np.ndarray, sizes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of pictures, the smaller place first, whose thumbnails agree."""
    if not len(thumbnails):
        return
    hashes = hash_thumbnails(thumbnails)
    deviations = thumbnails.reshape(len(thumbnails), -1).std(axis=1)
    ratios = np.log(np.maximum(sizes[:, 0], 1) / np.maximum(sizes[:, 1], 1))
    (telling,) = np.nonzero(deviations >= _LEAST_DEVIATION)
    for start in range(0, len(telling), _CHUNK):
        rows, others = telling[start : start + _CHUNK], telling[start:]
        bits = np.bitwise_count(hashes[rows, np.newaxis] ^ hashes[np.newaxis, others])
        left, right = np.nonzero(bits <= _MOST_BITS)
        left, right = rows[left], others[right]
        is_pair = (left < right) & (np.abs(ratios[left] - ratios[right]) <= _MOST_STRETCH)
        for first, second in zip(left[is_pair], right[is_pair], strict=True):
            scale = (deviations[first] + deviations[second]) / 2
            if difference(thumbnails[first], thumbnails[second]) <= _MOST_DIFFERENCE * scale:
                yield int(first), int(second)


def hash_thumbnails(thumbnails: np.ndarray) -> np.ndarray:
    """``[pictures]`` uint64: the signs of each thumbnail's lowest frequencies about their median.

    Args:
        thumbnails: ``[pictures, 16, 16, 3]`` uint8.
    """
    grey = thumbnails.astype(np.float32).mean(axis=3)
    low = dctn(grey, axes=(1, 2))[:, :_FREQUENCIES, :_FREQUENCIES].reshape(len(grey), -1)[:, 1:]
    bits = low > np.median(low, axis=1, keepdims=True)
    padded = np.concatenate([bits, np.zeros((len(bits), 1), bool)], axis=1)
    return np.packbits(padded, axis=1).view(np.uint64)[:, 0]


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Root of the mean square of the differences of two thumbnails, brightness aside."""
    change = first.astype(np.float32) - second.astype(np.float32)
    return float((change - change.mean(axis=(0, 1))).std())
