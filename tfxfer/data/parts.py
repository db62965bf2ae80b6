"""The division of items into parts, from class numbers, groups or names, without TensorFlow."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedKFold


def draw_stratified(
    strata: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Divide positions into two parts with the same mixture of classes.

    Args:
        strata: ``[items]`` class numbers.
        fraction: The share of each class in the second part, in 0…1.
        seed: The seed that decides the parts.

    Returns:
        The positions of the first and the second part, each ascending.
    """
    generator = np.random.default_rng(seed)
    kept, taken = [], []
    for label in np.unique(strata):
        positions = generator.permutation(np.flatnonzero(strata == label))
        count = min(max(1, round(fraction * len(positions))), len(positions) - 1)
        taken.append(positions[:count])
        kept.append(positions[count:])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(taken))


def deal_groups(
    strata: np.ndarray, groups: Sequence[str], shares: Sequence[float], seed: int
) -> np.ndarray:
    """Deal whole groups into parts that have about their share of every class.

    Groups are taken in turn: large ones come first, and groups of about the same size in an order
    that the seed decides. Each group goes into the part where it adds least to the sum of
    ``(items - wanted)² / (wanted · items of the class)`` over parts and classes.
    scikit-learn's `StratifiedGroupKFold` is similar, but only for parts of equal size. No part
    stays empty if there are as many groups as parts.

    Args:
        strata: ``[items]`` class numbers.
        groups: The group of each item.
        shares: The shares of the parts, which add up to 1.
        seed: The seed that decides the parts.

    Returns:
        ``[items]`` int64, the number of each item's part.
    """
    present, strata = np.unique(strata, return_inverse=True)
    names, members = np.unique(np.array(groups, object).astype(str), return_inverse=True)
    counts = np.zeros((len(names), len(present)))
    np.add.at(counts, (members, strata), 1)
    # The size of a part counts like a class. Shares make rare classes weigh as much as others.
    counts = np.column_stack([counts, counts.sum(axis=1)])
    weights = counts / counts.sum(axis=0)
    wanted = np.array(shares)[:, None]
    dealt = np.zeros((len(shares), counts.shape[1]))
    places = np.zeros(len(names), np.int64)
    order = np.random.default_rng(seed).permutation(len(names))
    size = np.ceil(np.log2(weights.sum(axis=1)[order]))
    for group in order[np.argsort(-size, kind="stable")]:
        added = weights[group]
        cost = (added * (2 * (dealt - wanted) + added) / wanted).sum(axis=1)
        places[group] = cost.argmin()
        dealt[places[group]] += added
    _fill_empty_parts(places, weights.sum(axis=1), len(shares))
    return places[members]


def _fill_empty_parts(places: np.ndarray, sizes: np.ndarray, parts: int) -> None:
    """Move to each part without a group the smallest group that is not alone in its part."""
    for part in np.setdiff1d(np.arange(parts), places):
        can_move = np.flatnonzero(np.bincount(places, minlength=parts)[places] > 1)
        if len(can_move):
            places[can_move[sizes[can_move].argmin()]] = part


def deal_folds(strata: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deal items into folds with the same mixture of classes: ``[items]`` in 0…folds-1.

    Raises:
        ValueError: No class has as many items as there are folds.
    """
    places = np.zeros(len(strata), np.int64)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # The warning is about classes with fewer items than folds, which a note names.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(strata, strata)):
            places[held_out] = fold
    return places


def hash_names(names: Sequence[str], salt: str) -> np.ndarray:
    """Return ``[names]`` float64 in 0…1 that look random and depend only on name and salt."""
    digests = (
        hashlib.blake2b(f"{salt}/{name}".encode(errors="surrogateescape"), digest_size=8).digest()
        for name in names
    )
    numbers = np.frombuffer(b"".join(digests), np.dtype("<u8"))
    return (numbers >> np.uint64(11)).astype(np.float64) / 2**53


def pick_shots(
    labels: np.ndarray, groups: Sequence[str], shots: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pick some items of each class; a larger number of shots includes those of a smaller one.

    Args:
        labels: ``[items]`` class numbers.
        groups: The group of each item, or nothing. A class's items are taken from as many
            groups as possible.
        shots: The number of items of each class.
        seed: The seed that decides the choice.

    Returns:
        The ascending positions of the items, and the numbers of the classes that have fewer.
    """
    generator = np.random.default_rng([seed, 1])  # Its order differs from that of the splits.
    picked, small = [], []
    for label in np.unique(labels):
        positions = generator.permutation(np.flatnonzero(labels == label))
        if groups:
            positions = positions[np.argsort(_rank([groups[p] for p in positions]), kind="stable")]
        if len(positions) < shots:
            small.append(label)
        picked.append(positions[:shots])
    return np.sort(np.concatenate(picked)), np.array(small, np.int64)


def _rank(groups: Sequence[str]) -> np.ndarray:
    """Return how many members of the same group come before each member."""
    seen: dict[str, int] = {}
    ranks = np.zeros(len(groups), np.int64)
    for position, group in enumerate(groups):
        ranks[position] = seen[group] = seen.get(group, -1) + 1
    return ranks
