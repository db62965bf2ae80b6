"""What `tfxfer doctor` finds out about an installation. This module imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that `tfxfer doctor` has looked at.

    Attributes:
        name: What was looked at.
        found: What was found, in words for people.
        status: ``"ok"``, ``"warning"`` (it works, but not as well as it could) or ``"error"``.
        fix: What the user can do; empty if there is nothing to do.
    """

    name: str
    found: str
    status: str
    fix: str = ""
