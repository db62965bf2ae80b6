"""Tests that copies are found in whatever way they were saved, and similar pictures are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from tfxfer.data.leaks import find_conflicts, find_leaks
from tfxfer.modalities.pictures.copies import find_copies
from tfxfer.records.audits import Copies

COUNT = 60


def draw(seed: int, width: int = 240, height: int = 160) -> Image.Image:
    """Return a picture of soft blots that depend on the seed."""
    blots = np.random.default_rng(seed).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    return Image.fromarray(blots).resize((width, height), Image.Resampling.BICUBIC)


def shrink(picture: Image.Image) -> np.ndarray:
    # Pillow's bilinear filter is antialiased, like the one of `tf.image.resize`.
    return np.asarray(picture.convert("RGB").resize((16, 16), Image.Resampling.BILINEAR))


def save_again(picture: Image.Image, quality: int, kind: str = "JPEG") -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=quality)
    return Image.open(buffer)


def search(pictures: list[Image.Image], digests: list[str] | None = None, **options):
    digests = digests or [str(row) for row in range(len(pictures))]
    sizes = np.array([(picture.height, picture.width) for picture in pictures])
    return find_copies(digests, np.stack([shrink(p) for p in pictures]), sizes, **options)


def rows_of(groups: tuple[Copies, ...]) -> list[tuple[int, ...]]:
    return [group.rows for group in groups]


AGAIN = {
    "low quality": lambda p: save_again(p, 30),
    "WebP": lambda p: save_again(p, 60, "WEBP"),
    "smaller": lambda p: save_again(p.resize((103, 69)), 75),
    "larger": lambda p: save_again(p.resize((480, 320)), 75),
    "squashed to a square": lambda p: p.resize((160, 160)),
    "cropped a little": lambda p: save_again(p.crop((2, 1, 237, 159)), 80),
    "mirrored": lambda p: save_again(ImageOps.mirror(p), 80),
}


@pytest.mark.parametrize("way", AGAIN)
def test_each_picture_saved_again_is_found_and_nothing_else(way):
    pictures = [draw(seed) for seed in range(COUNT)]
    pictures += [AGAIN[way](picture) for picture in pictures]
    groups = search(pictures)
    assert rows_of(groups) == [(row, row + COUNT) for row in range(COUNT)]
    assert not any(group.is_exact for group in groups)


def test_mirror_images_are_distinct_where_left_and_right_are_told_apart():
    pictures = [draw(0), ImageOps.mirror(draw(0)), draw(0).resize((120, 80))]
    assert rows_of(search(pictures)) == [(0, 1, 2)]
    assert rows_of(search(pictures, mirrored=False)) == [(0, 2)]


def test_the_same_bytes_are_exact_copies_and_join_the_picture_saved_again():
    pictures = [draw(0), draw(1), draw(0), draw(1), save_again(draw(1), 60)]
    groups = search(pictures, ["a", "b", "a", "b", "c"])
    assert groups == (Copies((0, 2), True), Copies((1, 3, 4), False))


def test_nearly_constant_pictures_are_copies_only_by_their_bytes():
    generator = np.random.default_rng(0)
    noisy = [
        Image.fromarray((level + generator.normal(0, 6, (64, 96, 3))).astype(np.uint8))
        for level in (30, 128, 128, 128, 220)
    ]
    plain = [Image.new("RGB", (96, 64), colour) for colour in ("white", "white", "black", "grey")]
    assert not search(noisy + plain)
    assert search(noisy + plain, list("abcdeffgh")) == (Copies((5, 6), True),)


def test_one_colour_over_another_is_no_copy():
    grey = np.asarray(draw(3).convert("L")).astype(float)
    tinted = [
        Image.fromarray((grey[..., None] * tint).astype(np.uint8))
        for tint in ((1, 1, 1), (1, 0.7, 0.7), (0.7, 0.7, 1))
    ]
    assert not search(tinted)


def test_a_changed_detail_is_no_copy():
    """A fixed camera shows the same scene with or without an object in it."""
    scene, visited = draw(4), draw(4)
    visited.paste((255, 255, 255), (100, 50, 160, 110))
    assert not search([scene, visited])


def test_stripes_and_other_shapes_are_told_apart():
    ramp = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    across, down = Image.fromarray(ramp), Image.fromarray(ramp.T).resize((96, 64))
    banner = across.resize((400, 64))
    assert not search([across, down, banner])
    assert rows_of(search([across, down, save_again(across.resize((48, 32)), 70)])) == [(0, 2)]


def test_a_chain_is_not_one_group_and_no_pair_of_it_is_lost():
    """If a camera moves a little in each frame, only neighbouring frames are copies."""
    scene = draw(5, 400, 300)
    frames = [scene.crop((4 * step, 0, 4 * step + 240, 300)) for step in range(20)]
    groups = search(frames)
    together = {(a, b) for rows in rows_of(groups) for a in rows for b in rows}
    alone = {(a, b) for a in range(20) for b in range(20) if search([frames[a], frames[b]])}
    assert {(step, step + 1) for step in range(19)} <= alone, "neighbours are copies"
    assert (0, 19) not in alone
    assert alone <= together
    assert max(len(rows) for rows in rows_of(groups)) < 10


def test_very_many_copies_of_one_picture_are_one_group():
    pictures = [save_again(draw(6), quality) for quality in range(50, 95)] * 4 + [draw(7)]
    assert rows_of(search(pictures)) == [tuple(range(180))]


def test_leaks_name_what_to_leave_out_and_never_a_test_picture():
    copies = (
        Copies((0, 5, 9), False),  # train, validation, test
        Copies((1, 6), True),  # train, validation
        Copies((2, 3), True),  # train twice
        Copies((4, 8), True),  # train, test
        Copies((7, 10), False),  # validation, test
        Copies((8, 11), False),  # test twice
    )
    names = ["train"] * 5 + ["validation"] * 3 + ["test"] * 4
    leaks = find_leaks(copies, names)
    assert leaks == {0: 9, 1: 6, 4: 8, 5: 9, 7: 10}
    assert find_leaks(copies, np.array([0] * 5 + [1] * 3 + [2] * 4)) == leaks
    assert find_leaks(copies, np.array(names)) == leaks


def test_of_two_leaks_the_one_from_the_test_split_is_told():
    copies = (Copies((0, 1), False), Copies((0, 2), False))
    assert find_leaks(copies, ["train", "validation", "test"]) == {0: 2}
    assert find_leaks(copies[::-1], ["train", "validation", "test"]) == {0: 2}


def test_conflicts_are_groups_with_different_labels():
    copies = (Copies((0, 1), True), Copies((2, 3, 4), False))
    assert find_conflicts(copies, [(1,), (1,), (0,), (0,), (2,)]) == copies[1:]
    assert find_conflicts(copies, [(0,), (0, 1), (1,), (1,), (1,)]) == copies[:1]


def test_nothing_and_one_picture_have_no_copies():
    assert find_copies([], np.zeros((0, 16, 16, 3), np.uint8), np.zeros((0, 2))) == ()
    assert search([draw(0)]) == ()
