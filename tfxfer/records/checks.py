"""What was found of an installation. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that `tfxfer doctor` has looked at.

    Attributes:
        name: what was looked at.
        found: for people.
        status: ``"ok"``, ``"warning"`` (it runs, but not as it could) or ``"error"``.
        fix: what to do; empty where there is nothing.
    """

    name: str
    found: str
    status: str
    fix: str = ""
