"""Tests of what the first look says of pictures with few bits."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tfxfer.modalities.pictures.look import look_at_encoded
from tfxfer.modalities.pictures.oddities import ODDITIES


def encode(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("bits", "is_dark"), [(8, True), (10, True), (12, True), (14, False), (16, False)]
)
def test_counts_of_few_bits_in_sixteen_are_named_as_dark(bits, is_dark):
    ramp = np.linspace(0, 2**bits - 1, 64).astype(np.uint16)
    look = look_at_encoded("", encode(np.tile(ramp, (48, 1))))
    assert "16 bit" in look.oddities and not look.fault
    assert ("dark" in look.oddities) == is_dark
    assert "multiply" in ODDITIES["dark"]


def test_a_dark_photograph_of_eight_bits_is_none():
    ramp = np.linspace(0, 15, 64).astype(np.uint8)
    assert "dark" not in look_at_encoded("", encode(np.tile(ramp, (48, 1)))).oddities
