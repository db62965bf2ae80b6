"""Copies are told by their bytes or by their looks, and nothing else is."""

from __future__ import annotations

import numpy as np

from tfxfer.data.copies import difference, find_copies, hash_thumbnails


def thumbnails(count: int, seed: int = 0) -> np.ndarray:
    """Smooth pictures, no two alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3))
    return coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)


def noisy(pictures: np.ndarray, strength: int) -> np.ndarray:
    noise = np.random.default_rng(1).integers(-strength, strength + 1, pictures.shape)
    return (pictures.astype(int) + noise).clip(0, 255).astype(np.uint8)


def sizes(count: int) -> np.ndarray:
    return np.full((count, 2), (300, 400))


def test_same_bytes_and_same_looks_are_copies():
    pictures = thumbnails(50)
    pictures = np.concatenate([pictures, pictures[:1], noisy(pictures[1:3], 12)])
    digests = [str(row) for row in range(50)] + ["0", "x", "y"]
    found = find_copies(digests, pictures, sizes(53))
    assert [(group.rows, group.is_exact) for group in found] == [
        ((0, 50), True),
        ((1, 51), False),
        ((2, 52), False),
    ]


def test_a_stretched_picture_is_no_copy():
    pictures = thumbnails(1).repeat(2, axis=0)
    shapes = np.array([(300, 400), (300, 500)])
    assert find_copies(["a", "b"], pictures, shapes) == ()
    assert len(find_copies(["a", "b"], pictures, sizes(2) * [[1], [2]])) == 1


def test_blank_pictures_are_copies_only_byte_by_byte():
    blank = noisy(np.full((4, 16, 16, 3), 250), 2)
    assert find_copies(list("abca"), blank, sizes(4))[0].rows == (0, 3)
    assert len(find_copies(list("abcd"), blank, sizes(4))) == 0


def test_a_chain_of_changes_is_not_one_group():
    first, last = thumbnails(2, seed=3).astype(float)
    chain = np.stack([first + (last - first) * step for step in np.linspace(0, 1, 40)])
    groups = find_copies([str(n) for n in range(40)], chain.astype(np.uint8), sizes(40))
    assert len(groups) >= 3
    for group in groups:
        assert len(group.rows) < 20


def test_brightness_aside_the_difference_is_that_of_the_pixels():
    one, other = thumbnails(2)
    assert difference(one, one) == 0
    assert difference((one // 2), (one // 2 + 40)) < 1e-3
    assert difference(one, other) > 50
    assert len(np.unique(hash_thumbnails(thumbnails(200)))) == 200


def test_no_pictures_have_no_copies():
    assert find_copies([], np.zeros((0, 16, 16, 3), np.uint8), np.zeros((0, 2))) == ()
