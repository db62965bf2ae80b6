"""The groups of items, such as one bird or one patient, read from their paths."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tfxfer.errors import InputError


def find_groups(names: Sequence[str], pattern: str | None) -> tuple[str, ...]:
    """Name the group of each picture by a regular expression that is searched in its path.

    Args:
        names: The paths below the source, with forward slashes.
        pattern: `DataConfig.group_pattern`; with None there are no groups.

    Returns:
        A group for each name: what the first parenthesis of the expression matched or, if it has
        none, what the whole expression matched. Without a pattern, the tuple is empty.

    Raises:
        InputError: The expression does not match in a path.
    """
    if not pattern:
        return ()
    expression = re.compile(pattern)
    part = 1 if expression.groups else 0
    groups = []
    for name in names:
        found = expression.search(name)
        if found is None or not found[part]:
            raise InputError(
                "group_pattern must match in every picture's path below the source, and find a "
                f"group that is not empty. Received: group_pattern={pattern!r} and {name!r}. "
                "Correct the expression, or move the picture away."
            )
        groups.append(found[part])
    return tuple(groups)
