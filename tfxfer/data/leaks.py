"""Copies that lie in two splits or in two classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfxfer.records.audits import Copies

_SPLIT_RANKS = {"train": 0, "validation": 1, "test": 2, "0": 0, "1": 1, "2": 2}


def find_leaks(copies: Sequence[Copies], splits: Sequence[str] | np.ndarray) -> dict[int, int]:
    """Find the items of training or validation that have a copy in a later split.

    Args:
        splits: The split of each item: ``"train"``, ``"validation"``, ``"test"``, or 0, 1, 2.

    Returns:
        The rows to leave out, each with the row of its copy: training items that are copies of
        validation or test items, and validation items that are copies of test items. If
        there are several copies, one in the test split is named. Test rows are never left out.
    """
    ranks = [_SPLIT_RANKS[str(split)] for split in np.asarray(splits).tolist()]
    leaks: dict[int, int] = {}
    for group in copies:
        last = max(group.rows, key=lambda row: (ranks[row], -row))
        for row in group.rows:
            known = leaks.get(row)
            if ranks[row] < ranks[last] and (known is None or ranks[known] < ranks[last]):
                leaks[row] = last
    return dict(sorted(leaks.items()))


def find_conflicts(
    copies: Sequence[Copies], numbers: Sequence[tuple[int, ...]]
) -> tuple[Copies, ...]:
    """Keep the groups whose items differ in their labels.

    Args:
        numbers: the class numbers of each item, as `Labels.list_numbers` gives them.
    """
    return tuple(group for group in copies if len({numbers[row] for row in group.rows}) > 1)
