"""Groups of items, such as the pictures of one bird, which stay in one split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfxfer.config.data import DataConfig
from tfxfer.data.items import ItemSet
from tfxfer.errors import InputError

_SHOWN = 5


def check_groups(splits: Mapping[str, ItemSet], config: DataConfig) -> None:
    """Refuse settings of groups if the source gives none.

    Raises:
        InputError: Groups are set; the error says what to do instead.
    """
    for name in ("group_column", "group_pattern"):
        value = getattr(config.split, name)
        if value is not None and not splits["train"].groups:
            raise InputError(
                "Groups are known of files: group_column of a manifest's, group_pattern of any. "
                f"Received: {name}={value!r} for {config.source!r}, which gives none. Leave it "
                "out, or list its pictures as files."
            )


def part_groups(
    splits: Mapping[str, ItemSet], fix_leaks: bool
) -> tuple[dict[str, ItemSet], list[str]]:
    """Look for groups that the source itself has in more than one split.

    Args:
        splits: The splits of the source.
        fix_leaks: Whether the items of these groups are left out of training; the other splits
            are not changed.

    Returns:
        The splits, and notes for the user.
    """
    parted = dict(splits)
    held = {name: set(items.groups) for name, items in splits.items()}
    shared = held["train"] & set().union(*(held[name] for name in held if name != "train"))
    notes = []
    if shared:
        said = (
            f"{len(shared)} groups of the training pictures are in another split as well "
            f"({_some(sorted(shared))})"
        )
        if fix_leaks:
            groups = splits["train"].groups
            kept = [row for row, group in enumerate(groups) if group not in shared]
            parted["train"] = splits["train"].choose(np.array(kept, np.int64))
            notes.append(f"{said}: {len(groups) - len(kept):,} training pictures were left out")
        else:
            remedy = "data.split.fix_leaks=true leaves them out of training"
            notes.append(f"{said}, which flatters; {remedy}")
    both = held.get("validation", set()) & held.get("test", set())
    if both:
        notes.append(
            f"{len(both)} groups are in the validation and in the test split "
            f"({_some(sorted(both))}), as the source has them"
        )
    return parted, notes


def check_group_count(groups: Sequence[str], needed: int, what: str) -> None:
    """Refuse fewer groups than parts."""
    count = len(set(groups))
    if count < needed:
        raise InputError(
            f"A group stays in one split, so that {what} need at least {needed} groups. Received: "
            f"{count} ({', '.join(sorted(set(groups)))}). Take smaller groups, fewer folds, or "
            "give the splits in the source."
        )


def describe_parts(groups: Sequence[str], config: DataConfig, seed: int) -> str:
    """Say in a few words for a note how items of some groups are divided into splits."""
    count = len(set(groups))
    if config.split.by == "hash":
        return f"by the hash of {'its group' if count else 'each name'} (seed {seed})"
    if count:
        return f"in whole groups, of which there are {count:,} (seed {seed})"
    return f"class by class (seed {seed})"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
