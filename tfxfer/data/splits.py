"""Cut the splits that a source does not have from its training pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfxfer.config import DataConfig
from tfxfer.data.labels import count_classes, stratify_by
from tfxfer.data.pictures import FileSet, TfdsSet
from tfxfer.errors import InputError

Cuttable = FileSet | TfdsSet


def complete_splits(
    splits: Mapping[str, Cuttable], classes: Sequence[str], config: DataConfig, seed: int
) -> tuple[dict[str, Cuttable], tuple[str, ...]]:
    """Cut ``validation`` and ``test`` from ``train`` where they are missing.

    The cut is stratified: every class gives its share, at least one picture, and keeps at least
    one. The same pictures and seed give the same cut.

    Returns:
        The three splits, and a note for each one that was cut.

    Raises:
        InputError: a class has too few pictures to be in every split.
    """
    fractions = {"test": config.test_fraction, "validation": config.validation_fraction}
    missing = [name for name in fractions if name not in splits]
    check_class_sizes(splits["train"].labels, classes, max(2, 1 + len(missing)), missing)
    complete, notes = dict(splits), []
    train = complete["train"]
    total = len(train.labels)
    for position, name in enumerate(missing):
        # Both fractions are shares of all training pictures, so the second cut takes more.
        share = fractions[name] * total / len(train.labels)
        kept, cut = cut_stratified(train.labels, share, seed + position)
        complete[name] = train.choose(cut)
        train = train.choose(kept)
        notes.append(
            f"no {name} split: {len(cut):,} of the {total:,} training pictures were cut for it, "
            f"class by class (seed {seed})"
        )
    return complete | {"train": train}, tuple(notes)


def cut_stratified(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Part positions into two groups with the same mixture of classes.

    Args:
        labels: ``[pictures]`` class numbers.
        fraction: share of each class in the second group, in 0…1.
        seed: decides who goes where.

    Returns:
        Positions of the first and the second group, each ascending.
    """
    generator = np.random.default_rng(seed)
    kept, cut = [], []
    strata = stratify_by(labels)
    for label in np.unique(strata):
        positions = generator.permutation(np.flatnonzero(strata == label))
        count = min(max(1, round(fraction * len(positions))), len(positions) - 1)
        cut.append(positions[:count])
        kept.append(positions[count:])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(cut))


def check_class_sizes(
    labels: np.ndarray, classes: Sequence[str], minimum: int, missing: Sequence[str] = ()
) -> None:
    """Refuse fewer than two classes, and classes with too few training pictures."""
    if len(classes) < 2:
        raise InputError(
            "A classifier needs pictures of at least two classes, a folder each. "
            f"Received: {len(classes)} class ({', '.join(classes)}). Add another class folder."
        )
    counts = count_classes(labels, len(classes))
    small = [
        f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < minimum
    ]
    if small:
        cut = f", since {' and '.join(missing)} are cut from them" if missing else ""
        raise InputError(
            f"Every class needs at least {minimum} training pictures{cut}. Received: "
            f"{', '.join(small[:20])}. Add pictures to these classes or remove their folders."
        )
