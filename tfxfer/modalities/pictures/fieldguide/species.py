"""The species of the embedded data set: twelve to learn, and many more to pretrain on.

The targets are a literal table, so that the task does not depend on NumPy's random numbers. The
sources are drawn with a fixed seed and differ from every target in at least `MIN_TRAIT_DISTANCE`
traits, so that the pretrained backbone has never seen a species that it is asked to learn.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from tfxfer.modalities.pictures.fieldguide import traits
from tfxfer.modalities.pictures.fieldguide.traits import Species, trait_distance, trait_tuple

__all__ = [
    "MIN_TRAIT_DISTANCE",
    "SOURCE_SPECIES",
    "TARGET_SPECIES",
    "Species",
    "trait_distance",
    "trait_tuple",
]

MIN_TRAIT_DISTANCE = 3
_SOURCE_SPECIES_COUNT = 160
_SOURCE_SEED = 20260

# Each silhouette may be combined with these bills, bill lengths, crests, tail shapes, tail lengths
# and leg lengths; the last entry holds its invented second names.
_BUILDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "songbird": (("thin", "stout"), ("short", "medium"), ("none", "tuft", "spiky"),
                 ("square", "rounded", "forked"), ("medium", "long"), ("medium",),
                 ("reedling", "thornchat", "heathlark", "willowpip", "bramblet")),
    "finch": (("cone", "stout"), ("short", "medium"), ("none", "tuft", "spiky"),
              ("square", "forked", "rounded"), ("short", "medium"), ("short", "medium"),
              ("huskfinch", "teaselbill", "coppicefinch", "stubblefinch")),
    "wren": (("thin", "decurved"), ("short", "medium"), ("none", "spiky"),
             ("fan", "rounded", "square"), ("short", "medium"), ("medium",),
             ("dellwren", "mosswren", "nettlewren")),
    "crow": (("stout", "hooked", "dagger"), ("medium", "long"), ("none", "tuft", "plume"),
             ("rounded", "fan", "pointed"), ("medium", "long"), ("medium",),
             ("moordaw", "cragcrow", "copsejay")),
    "dove": (("thin", "hooked"), ("short",), ("none", "tuft", "plume"),
             ("fan", "rounded", "pointed"), ("medium", "long"), ("short",),
             ("glendove", "bellpigeon", "orchard_dove")),
    "kingfisher": (("dagger",), ("medium", "long"), ("none", "spiky", "tuft"),
                   ("square", "rounded"), ("short", "medium"), ("short",),
                   ("brookfisher", "rillfisher", "millfisher")),
    "quail": (("stout", "cone"), ("short",), ("none", "plume", "tuft"),
              ("rounded", "fan"), ("short",), ("short", "medium"),
              ("barleyquail", "fernhen", "stubblehen")),
    "hummingbird": (("thin", "decurved", "upturned"), ("medium", "long"), ("none", "spiky"),
                    ("forked", "fan", "pointed"), ("medium", "long"), ("short",),
                    ("sylphling", "nectarling", "glimmerwing")),
    "raptor": (("hooked",), ("short", "medium"), ("none", "spiky", "plume"),
               ("square", "rounded", "fan"), ("medium", "long"), ("medium",),
               ("fellhawk", "dalekite", "skerryhawk")),
    "owl": (("hooked",), ("short",), ("none", "ears"),
            ("rounded", "square"), ("short", "medium"), ("short", "medium"),
            ("duskowl", "barrow_owl", "hollow_owl")),
    "duck": (("flat",), ("medium", "long"), ("none", "tuft", "plume"),
             ("pointed", "rounded"), ("short", "medium"), ("short",),
             ("tarnduck", "sedge_teal", "meredrake")),
    "gull": (("hooked", "dagger"), ("medium",), ("none",),
             ("square", "forked"), ("short", "medium"), ("medium",),
             ("soundgull", "skerrygull", "strandgull")),
    "wader": (("thin", "decurved", "upturned"), ("medium", "long"), ("none", "plume"),
              ("square", "rounded"), ("short",), ("medium", "long"),
              ("mudpiper", "saltshank", "wrackrunner")),
    "heron": (("dagger", "decurved", "flat"), ("medium", "long"), ("none", "plume"),
              ("square", "rounded"), ("short",), ("long",),
              ("fenheron", "mist_egret", "lakestalker")),
}  # fmt: skip

# All entries are equally likely, so that a colour that stands twice is twice as common.
_UPPER = ("umber", "umber", "chestnut", "fawn", "fawn", "ash", "ash", "slate", "slate", "black",
          "black", "moss", "teal", "cobalt", "rust", "plum", "white", "ochre",
          "azure")  # fmt: skip
_UNDER = ("white", "white", "cream", "cream", "fawn", "ash", "lemon", "ochre", "rose", "rust",
          "slate")  # fmt: skip
_ACCENT = ("rust", "crimson", "amber", "lemon", "rose", "cobalt", "azure", "black", "white",
           "chestnut", "plum", "teal", "cream", "moss")  # fmt: skip
_MARKS = ("black", "black", "umber", "umber", "white", "white", "cream", "cream", "chestnut",
          "rust", "slate", "amber", "crimson", "cobalt", "lemon", "teal")  # fmt: skip
_NAME_PARTS = (("crown", "capped"), ("breast", "breasted"), ("wing", "winged"),
               ("tail", "tailed"), ("back", "backed"), ("bill_colour", "billed"),
               ("belly", "bellied"), ("leg_colour", "legged"))  # fmt: skip

# Related species have the same silhouette and differ in a few traits of plumage.
_ROSE_REEDLING = Species(
    "rose_breasted_reedling", "songbird", "thin", "short", "black", "none", "slate", "slate",
    "rose", "white", "slate", "black", "plain", "black", "none", "black", "plain", "one_bar",
    "white", "forked", "medium", "medium", "black")  # fmt: skip
_AMBER_HUSKFINCH = Species(
    "amber_capped_huskfinch", "finch", "cone", "medium", "fawn", "tuft", "amber", "umber",
    "cream", "cream", "umber", "umber", "mask", "black", "none", "black", "streaks", "two_bars",
    "cream", "forked", "medium", "short", "fawn")  # fmt: skip
_CRIMSON_SHANK = Species(
    "crimson_legged_saltshank", "wader", "thin", "long", "crimson", "none", "fawn", "fawn",
    "cream", "white", "fawn", "white", "brow", "white", "none", "black", "spots", "one_bar",
    "umber", "square", "short", "long", "crimson")  # fmt: skip
_TEAL_DRAKE = Species(
    "teal_capped_meredrake", "duck", "flat", "medium", "lemon", "none", "teal", "ash", "chestnut",
    "white", "ash", "black", "collar", "white", "none", "amber", "plain", "panel", "cobalt",
    "pointed", "short", "short", "amber")  # fmt: skip
_RUST_HAWK = Species(
    "rust_breasted_fellhawk", "raptor", "hooked", "short", "slate", "none", "slate", "slate",
    "rust", "cream", "slate", "slate", "plain", "black", "lemon", "lemon", "bars", "plain",
    "umber", "square", "long", "medium", "lemon")  # fmt: skip

TARGET_SPECIES: tuple[Species, ...] = (
    _ROSE_REEDLING,
    dataclasses.replace(_ROSE_REEDLING, name="black_masked_reedling", face="mask",
                        breast="cream", wing_pattern="two_bars", tail="slate"),
    dataclasses.replace(_ROSE_REEDLING, name="rust_tailed_reedling", breast="ash", tail="rust",
                        face="throat", wing_pattern="plain", crown="ash"),
    _AMBER_HUSKFINCH,
    dataclasses.replace(_AMBER_HUSKFINCH, name="crimson_capped_huskfinch", crown="crimson",
                        face="plain", breast="rose", wing_pattern="one_bar"),
    dataclasses.replace(_AMBER_HUSKFINCH, name="white_browed_huskfinch", crown="umber",
                        face="brow", face_colour="white", bill_colour="slate"),
    _CRIMSON_SHANK,
    dataclasses.replace(_CRIMSON_SHANK, name="moss_legged_saltshank", bill_colour="black",
                        leg_colour="moss", breast_pattern="streaks", face="eye_stripe",
                        face_colour="umber"),
    _TEAL_DRAKE,
    dataclasses.replace(_TEAL_DRAKE, name="plum_capped_meredrake", crown="plum", breast="white",
                        bill_colour="slate", wing_pattern="tips"),
    _RUST_HAWK,
    dataclasses.replace(_RUST_HAWK, name="white_breasted_fellhawk", breast="white", belly="white",
                        breast_pattern="streaks", face="eye_stripe", back="umber", wing="umber"),
)  # fmt: skip


def _pick(generator: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(generator.random() * len(choices))]


def _draw_traits(generator: np.random.Generator, silhouette: str) -> Species:
    """Return a nameless species with few colours, which is mostly pale below."""

    def mostly(usual: str, others: tuple[str, ...], chance_of_usual: float) -> str:
        return usual if generator.random() < chance_of_usual else _pick(generator, others)

    def pick(choices: tuple[str, ...]) -> str:
        return _pick(generator, choices)

    bills, bill_lengths, crests, tail_shapes, tail_lengths, leg_lengths, _ = _BUILDS[silhouette]
    back, belly = pick(_UPPER), pick(_UNDER)
    wing = mostly(back, _UPPER, 0.45)
    breast = mostly(belly, (*_UNDER, *_ACCENT), 0.35)
    return Species(
        name="",
        silhouette=silhouette,
        bill_shape=pick(bills),
        bill_length=pick(bill_lengths),
        bill_colour=pick(traits.BILL_COLOURS),
        crest=mostly("none", crests, 0.3),
        crown=mostly(back, (*_UPPER, *_ACCENT), 0.35),
        back=back,
        breast=breast,
        belly=belly,
        wing=wing,
        tail=mostly(wing, (*_UPPER, "white", "rust", "crimson"), 0.45),
        face=pick(traits.FACES),
        face_colour=pick(("black", "white", *_MARKS, *_ACCENT)),
        eye_ring=mostly("none", traits.EYE_RINGS, 0.5),
        iris=mostly("black", traits.IRIS_COLOURS, 0.5),
        breast_pattern=mostly("plain", traits.BREAST_PATTERNS, 0.25),
        wing_pattern=mostly("plain", traits.WING_PATTERNS, 0.1),
        pattern_colour=pick(tuple(mark for mark in _MARKS if mark not in (wing, breast, belly))),
        tail_shape=pick(tail_shapes),
        tail_length=pick(tail_lengths),
        leg_length=pick(leg_lengths),
        leg_colour=pick(traits.LEG_COLOURS),
    )


def _free_name(generator: np.random.Generator, species: Species, taken: set[str]) -> str | None:
    """Return a free name that is true of the bird, or None if all such names are taken."""
    nouns = _BUILDS[species.silhouette][-1]
    names = [
        f"{getattr(species, trait)}_{ending}_{noun}"
        for (trait, ending), noun in itertools.product(_NAME_PARTS, nouns)
    ]
    free = tuple(name for name in names if name not in taken)
    return _pick(generator, free) if free else None


def _draw_sources(count: int, seed: int) -> tuple[Species, ...]:
    generator = np.random.default_rng(seed)
    kept: list[Species] = []
    taken = {target.name for target in TARGET_SPECIES}
    silhouettes = itertools.cycle(traits.SILHOUETTES)
    while len(kept) < count:
        species = _draw_traits(generator, next(silhouettes))
        name = _free_name(generator, species, taken)
        nearest = min(trait_distance(species, other) for other in (*TARGET_SPECIES, *kept))
        if name is not None and nearest >= MIN_TRAIT_DISTANCE:
            taken.add(name)
            kept.append(dataclasses.replace(species, name=name))
    return tuple(kept)


SOURCE_SPECIES: tuple[Species, ...] = _draw_sources(_SOURCE_SPECIES_COUNT, _SOURCE_SEED)
