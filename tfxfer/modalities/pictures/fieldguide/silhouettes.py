"""Outlines of the birds as plain numbers: bodies, bills, crests and tails.

Bodies are given in the bird frame: x points to the bill, y points down, and the body is about 1
long. Bills and crests are given in the head frame: (forward, up) in radii of the head. Tails and
wings are given as (along, across), where along is 0 at the root and 1 at the tip.
"""

from __future__ import annotations

import dataclasses

Outline = tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True)
class Silhouette:
    """A bird's build; `spine` holds (x, y, radius) from the root of the tail to the head."""

    spine: tuple[tuple[float, float, float], ...]
    wing: tuple[float, float]  # length relative to shoulder-to-tail, half width
    tail: tuple[float, float]  # length of a medium tail, half width
    leg: tuple[float, float]  # length of a medium leg, thickness
    bill: float = 1.0  # scale of the bill
    eye: float = 0.19  # radius of the eye in head radii
    bill_angle_deg: float = 4.0  # below the horizontal
    tail_angle_deg: float = 0.0  # above the line of the body
    habitat: str = "perch"  # perch, ground or shore
    faces_viewer: bool = False


SILHOUETTES: dict[str, Silhouette] = {
    "songbird": Silhouette(
        ((-.46, .20, .05), (-.32, .13, .13), (-.10, .05, .225), (.12, -.06, .235),
         (.27, -.23, .165), (.33, -.32, .158)),
        wing=(1.02, .15), tail=(.40, .06), leg=(.17, .022)),
    "finch": Silhouette(
        ((-.42, .17, .05), (-.29, .11, .15), (-.07, .04, .25), (.14, -.07, .255),
         (.27, -.24, .195), (.33, -.32, .185)),
        wing=(1.0, .16), tail=(.34, .065), leg=(.14, .024)),
    "wren": Silhouette(
        ((-.36, .00, .06), (-.26, .02, .16), (-.06, .03, .24), (.13, -.05, .235),
         (.26, -.19, .165), (.32, -.25, .155)),
        wing=(.95, .15), tail=(.30, .065), leg=(.18, .022), tail_angle_deg=52),
    "crow": Silhouette(
        ((-.54, .17, .06), (-.36, .11, .14), (-.08, .04, .21), (.18, -.07, .205),
         (.36, -.24, .145), (.43, -.31, .14)),
        wing=(1.12, .14), tail=(.42, .075), leg=(.22, .028)),
    "dove": Silhouette(
        ((-.54, .14, .06), (-.36, .10, .15), (-.08, .04, .225), (.17, -.05, .215),
         (.31, -.25, .115), (.35, -.34, .112)),
        wing=(1.08, .15), tail=(.44, .075), leg=(.12, .026)),
    "kingfisher": Silhouette(
        ((-.32, .27, .05), (-.23, .18, .14), (-.07, .04, .215), (.06, -.13, .215),
         (.16, -.33, .19), (.20, -.40, .19)),
        wing=(1.0, .14), tail=(.24, .06), leg=(.09, .026), bill=1.1),
    "quail": Silhouette(
        ((-.46, .10, .07), (-.34, .06, .19), (-.08, .02, .28), (.17, -.06, .245),
         (.31, -.27, .13), (.35, -.35, .128)),
        wing=(.98, .17), tail=(.24, .08), leg=(.17, .026), bill_angle_deg=10, habitat="ground"),
    "hummingbird": Silhouette(
        ((-.27, .30, .035), (-.18, .18, .10), (-.03, .04, .145), (.08, -.11, .135),
         (.15, -.25, .115), (.19, -.31, .115)),
        wing=(1.2, .10), tail=(.34, .05), leg=(.06, .018), bill=1.5, bill_angle_deg=-2),
    "raptor": Silhouette(
        ((-.34, .42, .06), (-.26, .27, .15), (-.12, .05, .245), (.02, -.15, .24),
         (.13, -.37, .165), (.18, -.44, .155)),
        wing=(1.1, .15), tail=(.42, .085), leg=(.17, .036), bill=.95, eye=.2, bill_angle_deg=8),
    "owl": Silhouette(
        ((-.22, .46, .07), (-.15, .30, .20), (-.05, .06, .28), (.01, -.17, .265),
         (.045, -.40, .23), (.05, -.45, .23)),
        wing=(1.02, .15), tail=(.26, .10), leg=(.12, .034), faces_viewer=True, eye=.2),
    "duck": Silhouette(
        ((-.58, -.05, .045), (-.42, .01, .15), (-.12, .04, .225), (.18, .03, .215),
         (.33, -.17, .115), (.40, -.33, .128)),
        wing=(.92, .14), tail=(.24, .06), leg=(.11, .03), bill=1.15, bill_angle_deg=8,
        tail_angle_deg=8, habitat="shore"),
    "gull": Silhouette(
        ((-.54, .05, .045), (-.36, .05, .13), (-.08, .03, .195), (.20, -.05, .18),
         (.36, -.23, .118), (.42, -.30, .122)),
        wing=(1.28, .12), tail=(.26, .06), leg=(.22, .022), habitat="shore"),
    "wader": Silhouette(
        ((-.42, .07, .04), (-.29, .05, .11), (-.06, .02, .17), (.15, -.05, .155),
         (.28, -.21, .085), (.34, -.31, .098)),
        wing=(1.08, .11), tail=(.20, .05), leg=(.36, .02), bill=1.2, bill_angle_deg=8,
        habitat="shore"),
    "heron": Silhouette(
        ((-.46, .20, .04), (-.30, .12, .13), (-.06, .02, .18), (.15, -.08, .15),
         (.27, -.26, .07), (.19, -.47, .052), (.25, -.66, .06), (.33, -.71, .085)),
        wing=(1.05, .13), tail=(.20, .06), leg=(.38, .022), bill=1.25, bill_angle_deg=6,
        habitat="shore"),
}  # fmt: skip

# A bill has a length in head radii, an upper edge to the tip, and a lower edge back to the root.
BILLS: dict[str, tuple[float, Outline, Outline]] = {
    "thin": (.75, ((0, .24), (.5, .13), (1, -.02)), ((.5, -.09), (0, -.17))),
    "cone": (.80, ((0, .50), (.4, .39), (1, -.08)), ((.55, -.26), (0, -.46))),
    "stout": (1.0, ((0, .38), (.5, .33), (.88, .12), (1, -.06)), ((.6, -.20), (0, -.30))),
    "hooked": (.72, ((0, .38), (.45, .42), (.86, .20), (1, -.40), (.80, -.14)),
               ((.5, -.20), (0, -.26))),
    "dagger": (1.55, ((0, .30), (.5, .18), (1, -.03)), ((.5, -.14), (0, -.26))),
    "decurved": (1.6, ((0, .22), (.4, .21), (.75, .0), (1, -.42)), ((.72, -.13), (.4, .05),
                                                                  (0, -.18))),
    "upturned": (1.6, ((0, .20), (.4, .03), (.75, .08), (1, .36)), ((.7, -.03), (.4, -.10),
                                                                 (0, -.20))),
    "flat": (1.25, ((0, .36), (.35, .12), (.8, .08), (1, .11), (1.05, -.03), (.93, -.15)),
             ((.5, -.16), (0, -.28))),
}  # fmt: skip
BILL_LENGTH_FACTORS = {"short": 0.75, "medium": 1.0, "long": 1.4}

CRESTS: dict[str, tuple[Outline, ...]] = {
    "none": (),
    "tuft": (((.40, .80), (.10, 1.16), (-.45, 1.36), (-1.05, 1.36), (-.80, .98), (-.88, .4)),),
    "spiky": (((.55, .7), (.22, 1.30), (.02, 1.04), (-.38, 1.48), (-.46, 1.00), (-1.02, 1.30),
               (-.9, .3)),),
    "plume": (((.15, .85), (-.55, 1.25), (-1.35, 1.12), (-2.15, .45), (-1.35, .80),
               (-.8, .45)),),
    "ears": (((.72, .55), (.62, 1.45), (.12, .88)), ((-.12, .88), (-.62, 1.45), (-.72, .55))),
}  # fmt: skip

TAILS: dict[str, Outline] = {
    "square": ((0, -.7), (.92, -1), (1, -.85), (1, .85), (.92, 1), (0, .7)),
    "rounded": ((0, -.7), (.72, -1.1), (.93, -.75), (1, 0), (.93, .75), (.72, 1.1), (0, .7)),
    "forked": ((0, -.7), (.93, -1.35), (1, -1.25), (.70, 0), (1, 1.25), (.93, 1.35), (0, .7)),
    "pointed": ((0, -.75), (.45, -.75), (1.1, 0), (.45, .75), (0, .75)),
    "fan": ((0, -.7), (.62, -1.9), (.85, -1.75), (.97, -.8), (1, 0), (.97, .8), (.85, 1.75),
            (.62, 1.9), (0, .7)),
}  # fmt: skip
TAIL_LENGTH_FACTORS = {"short": 0.62, "medium": 1.0, "long": 1.5}
LEG_LENGTH_FACTORS = {"short": 0.62, "medium": 1.0, "long": 1.5}

# A wing profile holds places along the folded wing and the half widths there, in units of its own.
WING_UPPER = ((0, 0.0), (0.05, 0.34), (0.20, 0.66), (0.45, 0.58), (0.75, 0.32), (1, 0.0))
WING_LOWER = (
    (0, 0.0),
    (0.05, 0.52),
    (0.18, 0.92),
    (0.40, 1.0),
    (0.62, 0.74),
    (0.82, 0.36),
    (1, 0.0),
)

# These marks are given in the head frame; `hood` and `collar` follow the spine instead.
HEAD_MARKS: dict[str, Outline] = {
    "crown": ((.95, .30), (.45, .36), (-.30, .34), (-1.0, .05), (-1.3, .3), (-1.0, 1.1),
              (0, 1.35), (.9, 1.0)),
    "eye_stripe": ((1.05, .02), (.45, .14), (-.15, .10), (-.85, -.22), (-.80, -.42),
                   (-.1, -.18), (.45, -.10), (1.05, -.12)),
    "mask": ((1.1, .20), (.45, .46), (-.15, .36), (-.70, .0), (-.62, -.38), (-.1, -.46),
             (.6, -.36), (1.1, -.26)),
    "brow": ((1.0, .24), (.45, .42), (-.2, .42), (-.95, .10), (-.98, .32), (-.2, .66),
             (.5, .66), (1.0, .42)),
    "cheek": ((.30, -.10), (-.20, .02), (-.62, -.25), (-.55, -.62), (-.10, -.78), (.28, -.52)),
    "throat": ((1.0, -.20), (.5, -.36), (.05, -.62), (-.25, -1.2), (.2, -1.7), (1.0, -1.1)),
}  # fmt: skip
