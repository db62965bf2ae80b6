"""The traits of invented bird species: their vocabulary, and the species itself."""

from __future__ import annotations

import dataclasses

Rgb = tuple[int, int, int]

# Colours are sRGB, 0…255. Neighbours in this table stay distinct under warm and cold light.
COLOURS: dict[str, Rgb] = {
    "white": (243, 241, 235),
    "cream": (236, 220, 182),
    "ochre": (205, 150, 62),
    "amber": (235, 160, 30),
    "lemon": (240, 218, 62),
    "rust": (184, 84, 38),
    "chestnut": (120, 58, 32),
    "umber": (88, 68, 50),
    "fawn": (178, 146, 108),
    "ash": (160, 164, 166),
    "slate": (94, 106, 120),
    "black": (34, 33, 36),
    "moss": (104, 120, 50),
    "teal": (28, 122, 118),
    "azure": (74, 148, 212),
    "cobalt": (38, 68, 154),
    "plum": (112, 50, 106),
    "rose": (226, 128, 138),
    "crimson": (188, 30, 40),
}

SILHOUETTES = (
    "songbird", "finch", "wren", "crow", "dove", "kingfisher", "quail", "hummingbird",
    "raptor", "owl", "duck", "gull", "wader", "heron",
)  # fmt: skip
BILL_SHAPES = ("thin", "cone", "stout", "hooked", "dagger", "decurved", "upturned", "flat")
BILL_LENGTHS = ("short", "medium", "long")
CRESTS = ("none", "tuft", "spiky", "plume", "ears")
FACES = ("plain", "eye_stripe", "mask", "brow", "throat", "cheek", "hood", "collar")
BREAST_PATTERNS = ("plain", "spots", "streaks", "bars", "band")
WING_PATTERNS = ("plain", "one_bar", "two_bars", "panel", "spots", "tips")
TAIL_SHAPES = ("square", "rounded", "forked", "pointed", "fan")
TAIL_LENGTHS = ("short", "medium", "long")
LEG_LENGTHS = ("short", "medium", "long")
BILL_COLOURS = ("black", "slate", "fawn", "amber", "lemon", "rust", "crimson")
LEG_COLOURS = ("black", "slate", "fawn", "amber", "lemon", "rose", "crimson", "moss")
IRIS_COLOURS = ("black", "amber", "lemon", "crimson", "white")
EYE_RINGS = ("none", "white", "lemon", "crimson", "azure")


@dataclasses.dataclass(frozen=True)
class Species:
    """One invented species: a label and the traits that stay fixed over all its pictures.

    `name` is snake_case and serves as the class name. Colours are keys of `COLOURS`; every
    other trait is an entry of the tuple in this module that carries its name.
    """

    name: str
    silhouette: str
    bill_shape: str
    bill_length: str
    bill_colour: str
    crest: str
    crown: str
    back: str
    breast: str
    belly: str
    wing: str
    tail: str
    face: str
    face_colour: str
    eye_ring: str
    iris: str
    breast_pattern: str
    wing_pattern: str
    pattern_colour: str
    tail_shape: str
    tail_length: str
    leg_length: str
    leg_colour: str


TRAIT_NAMES = tuple(field.name for field in dataclasses.fields(Species) if field.name != "name")

TRAIT_VALUES: dict[str, tuple[str, ...]] = {
    "silhouette": SILHOUETTES,
    "bill_shape": BILL_SHAPES,
    "bill_length": BILL_LENGTHS,
    "bill_colour": BILL_COLOURS,
    "crest": CRESTS,
    **dict.fromkeys(("crown", "back", "breast", "belly", "wing", "tail"), tuple(COLOURS)),
    "face": FACES,
    "face_colour": tuple(COLOURS),
    "eye_ring": EYE_RINGS,
    "iris": IRIS_COLOURS,
    "breast_pattern": BREAST_PATTERNS,
    "wing_pattern": WING_PATTERNS,
    "pattern_colour": tuple(COLOURS),
    "tail_shape": TAIL_SHAPES,
    "tail_length": TAIL_LENGTHS,
    "leg_length": LEG_LENGTHS,
    "leg_colour": LEG_COLOURS,
}


def trait_tuple(species: Species) -> tuple[str, ...]:
    """Return the traits without the name, in the order of `TRAIT_NAMES`."""
    return tuple(getattr(species, trait) for trait in TRAIT_NAMES)


def trait_distance(first: Species, second: Species) -> int:
    """Return the number of traits in which two species differ, 0…len(TRAIT_NAMES)."""
    pairs = zip(trait_tuple(first), trait_tuple(second), strict=True)
    return sum(a != b for a, b in pairs)
